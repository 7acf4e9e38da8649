// The AWS SDK for Go v2 and minio-go as a workload uses them: main aws|minio unsigned|dummy [ENDPOINT]. Prints a line
// for each thing tried: "ok WHAT", or "not ok WHAT: WHY".
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/url"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/minio/minio-go/v7"
	miniocredentials "github.com/minio/minio-go/v7/pkg/credentials"
)

const mebibyte = 1 << 20

// A stream whose length nobody knows and that cannot be read again.
type stream struct{ io.Reader }

func random(size int) []byte {
	content := make([]byte, size)
	rand.New(rand.NewSource(int64(size))).Read(content)
	return content
}

func try(what string, run func() error) {
	defer func() {
		if why := recover(); why != nil {
			fmt.Printf("not ok %s: panic: %v\n", what, why)
		}
	}()
	if err := run(); err != nil {
		fmt.Printf("not ok %s: %s\n", what, strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	fmt.Println("ok", what)
}

func same(want []byte, got io.ReadCloser, err error) error {
	if err != nil {
		return err
	}
	defer got.Close()
	content, err := io.ReadAll(got)
	if err == nil && !bytes.Equal(content, want) {
		err = fmt.Errorf("%d other bytes than the %d put", len(content), len(want))
	}
	return err
}

var sizes = []struct {
	name string
	size int
}{{"nothing", 0}, {"one byte", 1}, {"64 KiB", 64 << 10}, {"9 MiB", 9 * mebibyte}}

func withSDK(ctx context.Context, unsigned bool, endpoint string) {
	var provider aws.CredentialsProvider = credentials.NewStaticCredentialsProvider("AKIANOTREAL", "not-a-secret", "")
	if unsigned {
		provider = aws.AnonymousCredentials{}
	}
	settings, err := config.LoadDefaultConfig(ctx, config.WithRegion("us-east-1"), config.WithCredentialsProvider(provider),
		config.WithRetryMaxAttempts(1))
	if err != nil {
		panic(err)
	}
	objects := s3.NewFromConfig(settings, func(o *s3.Options) {
		o.UsePathStyle = true
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	})
	bucket := aws.String(fmt.Sprintf("go-sdk-%t-%d", unsigned, os.Getpid()))
	get := func(key string, want []byte) error {
		got, err := objects.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: &key})
		if err != nil {
			return err
		}
		if err := same(want, got.Body, nil); err != nil {
			return err
		}
		_, err = objects.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: &key})
		return err
	}
	try("create a bucket", func() error {
		_, err := objects.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket})
		return err
	})
	for _, each := range sizes {
		content := random(each.size)
		try("put and get "+each.name, func() error {
			_, err := objects.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: &each.name, Body: bytes.NewReader(content)})
			if err != nil {
				return err
			}
			return get(each.name, content)
		})
	}
	content := random(12 * mebibyte)
	try("put and get a stream in parts", func() error {
		body := stream{bytes.NewReader(content)}
		_, err := manager.NewUploader(objects).Upload(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("parts"), Body: body})
		if err != nil {
			return err
		}
		return get("parts", content)
	})
	try("put and get a stream with a trailer", func() error {
		body := stream{bytes.NewReader(content)}
		_, err := objects.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("stream"), Body: body,
			ContentLength: aws.Int64(int64(len(content)))})
		if err != nil {
			return err
		}
		return get("stream", content)
	})
	if endpoint != "" {
		return
	}
	try("get the caller's identity", func() error {
		answer, err := sts.NewFromConfig(settings).GetCallerIdentity(ctx, nil)
		if err == nil && !strings.Contains(*answer.Arn, ":assumed-role/") {
			err = errors.New(*answer.Arn)
		}
		return err
	})
	try("put and get a parameter", func() error {
		parameters := ssm.NewFromConfig(settings)
		name := aws.String("/" + *bucket)
		_, err := parameters.PutParameter(ctx, &ssm.PutParameterInput{Name: name, Value: aws.String("value"), Type: ssmtypes.ParameterTypeString})
		if err != nil {
			return err
		}
		answer, err := parameters.GetParameter(ctx, &ssm.GetParameterInput{Name: name})
		if err == nil && *answer.Parameter.Value != "value" {
			err = errors.New(*answer.Parameter.Value)
		}
		return err
	})
	models := bedrockruntime.NewFromConfig(settings)
	model, prompt := aws.String("anthropic.model-v1:0"), []byte(`{"messages":[{"role":"user","content":"hello"}]}`)
	try("invoke a model", func() error {
		_, err := models.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: model, Body: prompt})
		return err
	})
	try("invoke a model that streams", func() error {
		answer, err := models.InvokeModelWithResponseStream(ctx, &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: model, Body: prompt})
		if err != nil {
			return err
		}
		count := 0
		for range answer.GetStream().Events() {
			count++
		}
		if err := answer.GetStream().Err(); err != nil || count > 0 {
			return err
		}
		return errors.New("no event")
	})
}

func withMinio(ctx context.Context, unsigned bool, endpoint string) {
	target, err := url.Parse(endpoint)
	if err != nil {
		panic(err)
	}
	keys := miniocredentials.NewStaticV4("AKIANOTREAL", "not-a-secret", "")
	if unsigned {
		keys = miniocredentials.NewStatic("", "", "", miniocredentials.SignatureAnonymous)
	}
	objects, err := minio.New(target.Host, &minio.Options{Creds: keys, Secure: target.Scheme == "https",
		Region: "us-east-1", BucketLookup: minio.BucketLookupPath, MaxRetries: 1})
	if err != nil {
		panic(err)
	}
	objects.SetS3EnableDualstack(false)
	bucket := fmt.Sprintf("minio-%s-%t-%d", target.Scheme, unsigned, os.Getpid())
	put := func(key string, content []byte, size int64) error {
		var body io.Reader = bytes.NewReader(content)
		if size < 0 {
			body = stream{body}
		}
		if _, err := objects.PutObject(ctx, bucket, key, body, size, minio.PutObjectOptions{PartSize: 5 * mebibyte}); err != nil {
			return err
		}
		got, err := objects.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
		if err := same(content, got, err); err != nil {
			return err
		}
		return objects.RemoveObject(ctx, bucket, key, minio.RemoveObjectOptions{})
	}
	try("create a bucket", func() error { return objects.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}) })
	for _, each := range sizes {
		content := random(each.size)
		try("put and get "+each.name, func() error { return put(each.name, content, int64(each.size)) })
	}
	try("put and get a stream in parts", func() error { return put("stream", random(12*mebibyte), -1) })
}

func main() {
	unsigned, endpoint := os.Args[2] == "unsigned", ""
	if len(os.Args) > 3 {
		endpoint = os.Args[3]
	}
	if os.Args[1] == "minio" {
		withMinio(context.Background(), unsigned, endpoint)
	} else {
		withSDK(context.Background(), unsigned, endpoint)
	}
}
