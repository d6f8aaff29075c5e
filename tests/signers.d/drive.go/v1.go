package main

import (
	"bytes"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go/aws/credentials"
	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"
)

func sign(job job, request *http.Request, body []byte) error {
	signer := v4.NewSigner(credentials.NewStaticCredentials(job.KeyID, job.Secret, ""))
	_, err := signer.Sign(request, bytes.NewReader(body), job.Service, job.Region, time.Now())
	return err
}
