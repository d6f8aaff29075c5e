// Signs and sends with a signer of an AWS SDK for Go: v1.go and v2.go each have a `sign`. See signers.py.
package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
)

type job struct {
	URL     string `json:"url"`
	Region  string `json:"region"`
	Service string `json:"service"`
	KeyID   string `json:"key_id"`
	Secret  string `json:"secret"`
	Calls   []call `json:"calls"`
}

type call struct {
	Operation string            `json:"operation"`
	Headers   map[string]string `json:"headers"`
	Body      string            `json:"body"`
}

func send(job job, call call) error {
	body := []byte(call.Body)
	request, err := http.NewRequest("POST", job.URL+"/"+call.Operation, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, text := range call.Headers {
		request.Header.Set(name, text)
	}
	if err := sign(job, request, body); err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"status": answer.StatusCode, "body": string(text)})
}

func main() {
	var job job
	if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
		log.Fatal(err)
	}
	for _, call := range job.Calls {
		if err := send(job, call); err != nil {
			log.Fatal(err)
		}
	}
}
