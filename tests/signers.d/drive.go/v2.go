package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

func sign(job job, request *http.Request, body []byte) error {
	sum := sha256.Sum256(body)
	keys := aws.Credentials{AccessKeyID: job.KeyID, SecretAccessKey: job.Secret}
	return v4.NewSigner().SignHTTP(context.Background(), keys, request, hex.EncodeToString(sum[:]), job.Service, job.Region, time.Now())
}
