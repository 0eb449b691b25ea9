// Tokens of the AWS SDK for Go v1, for the cases on standard input (tests/vectors/tokens.json).
//
//	go run . < ../../tokens.json > ../go-v1.json
package main

import (
	"encoding/base64"
	"encoding/json"
	"log"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/endpoints"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"
	"github.com/aws/aws-sdk-go/service/sts"
)

// recipe is what the reference's clients up to 0.6 write; a number without a unit is nanoseconds, so X-Amz-Expires is 0.
const (
	recipe = "Request.Presign(60)"
	life   = 60
)

type vector struct {
	Name            string `json:"name"`
	Region          string `json:"region"`
	Host            string `json:"host"`
	ClusterID       string `json:"cluster_id"`
	AccessKeyID     string `json:"access_key_id"`
	SecretAccessKey string `json:"secret_access_key"`
	SessionToken    string `json:"session_token"`
	UnixTime        int64  `json:"unix_time"`
}

type token struct {
	Recipe string `json:"recipe"`
	Name   string `json:"name"`
	Token  string `json:"token"`
}

type output struct {
	SDK     string  `json:"sdk"`
	Version string  `json:"version"`
	Tokens  []token `json:"tokens"`
}

func (v vector) client() *sts.STS {
	config := aws.NewConfig().
		WithRegion(v.Region).
		WithCredentials(credentials.NewStaticCredentials(v.AccessKeyID, v.SecretAccessKey, v.SessionToken))
	config.STSRegionalEndpoint = endpoints.RegionalSTSEndpoint
	if v.Host == "sts.amazonaws.com" {
		config.STSRegionalEndpoint = endpoints.LegacySTSEndpoint
	}
	if strings.HasPrefix(v.Host, "sts-fips.") {
		config.UseFIPSEndpoint = endpoints.FIPSEndpointStateEnabled
	}
	if strings.Contains(v.Host, ".api.") {
		config.UseDualStackEndpoint = endpoints.DualStackEndpointStateEnabled
	}
	return sts.New(session.Must(session.NewSession(config)))
}

func (v vector) url() (string, error) {
	signed, _ := v.client().GetCallerIdentityRequest(&sts.GetCallerIdentityInput{})
	signed.HTTPRequest.Header.Add("x-k8s-aws-id", v.ClusterID)
	// The SDK's own signer, with a clock of ours.
	signed.Handlers.Sign.Clear()
	signed.Handlers.Sign.PushBack(func(r *request.Request) {
		v4.SignSDKRequestWithCurrentTime(r, func() time.Time { return time.Unix(v.UnixTime, 0) })
	})
	return signed.Presign(life)
}

func main() {
	var vectors []vector
	if err := json.NewDecoder(os.Stdin).Decode(&vectors); err != nil {
		log.Fatal(err)
	}
	out := output{SDK: "github.com/aws/aws-sdk-go", Version: aws.SDKVersion}
	for _, v := range vectors {
		url, err := v.url()
		if err != nil {
			log.Fatalf("%s: %v", v.Name, err)
		}
		text := "k8s-aws-v1." + base64.RawURLEncoding.EncodeToString([]byte(url))
		out.Tokens = append(out.Tokens, token{recipe, v.Name, text})
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(out); err != nil {
		log.Fatal(err)
	}
}
