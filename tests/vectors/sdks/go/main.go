// Tokens of the AWS SDK for Go v2, for the cases on standard input (tests/vectors/tokens.json).
//
//	go run . < ../../tokens.json > ../go.json
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// sdk is the module whose version the output names.
const sdk = "github.com/aws/aws-sdk-go-v2/service/sts"

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

// at presigns at a given time: the SDK has no clock to set.
type at struct {
	sts.HTTPPresignerV4
	time time.Time
}

func (at at) PresignHTTP(
	ctx context.Context, keys aws.Credentials, r *http.Request, hash, service, region string, _ time.Time, more ...func(*v4.SignerOptions),
) (string, http.Header, error) {
	return at.HTTPPresignerV4.PresignHTTP(ctx, keys, r, hash, service, region, at.time, more...)
}

func (v vector) client() *sts.Client {
	options := sts.Options{Region: v.Region}
	if v.Host == "sts.amazonaws.com" {
		options.Region = "aws-global"
	}
	if strings.HasPrefix(v.Host, "sts-fips.") {
		options.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
	}
	if strings.Contains(v.Host, ".api.") {
		options.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
	}
	options.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: v.AccessKeyID, SecretAccessKey: v.SecretAccessKey, SessionToken: v.SessionToken}, nil
	})
	return sts.New(options)
}

// url presigns with the cluster id and X-Amz-Expires as headers, of which the SDK moves the second into the query.
func (v vector) url() (string, error) {
	request, err := sts.NewPresignClient(v.client()).PresignGetCallerIdentity(
		context.Background(), &sts.GetCallerIdentityInput{}, func(presign *sts.PresignOptions) {
			presign.Presigner = at{presign.Presigner, time.Unix(v.UnixTime, 0)}
			presign.ClientOptions = append(presign.ClientOptions, sts.WithAPIOptions(
				smithyhttp.SetHeaderValue("x-k8s-aws-id", v.ClusterID),
				smithyhttp.SetHeaderValue("X-Amz-Expires", "60"),
			))
		})
	if err != nil {
		return "", err
	}
	return request.URL, nil
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == sdk {
			return module.Version
		}
	}
	return ""
}

func main() {
	var vectors []vector
	if err := json.NewDecoder(os.Stdin).Decode(&vectors); err != nil {
		log.Fatal(err)
	}
	out := output{SDK: sdk, Version: version()}
	for _, v := range vectors {
		url, err := v.url()
		if err != nil {
			log.Fatalf("%s: %v", v.Name, err)
		}
		text := "k8s-aws-v1." + base64.RawURLEncoding.EncodeToString([]byte(url))
		out.Tokens = append(out.Tokens, token{"PresignClient", v.Name, text})
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(out); err != nil {
		log.Fatal(err)
	}
}
