#!/bin/sh
# The same with curl and with Debian's AWS CLI: objects.sh curl|aws ENDPOINT BUCKET DIR
set -eu
program=$1 endpoint=$2 bucket=$3 dir=$4
cd "$dir"
head -c 1024 /dev/urandom >small
head -c 8388608 /dev/urandom >large
: >empty

expect() { # expect STATUS curl-arguments...: the answer's body is in ./answer
  wanted=$1; shift
  status=$(curl -sS --path-as-is -o answer -w '%{http_code}' "$@")
  [ "$status" = "$wanted" ] || { echo "$* answered $status: $(head -c 500 answer)" >&2; exit 1; }
}

if [ "$program" = curl ]; then
  url=$endpoint/$bucket
  expect 200 -X PUT "$url"
  for size in empty small large; do
    expect 200 -T $size "$url/$size"
    expect 200 -T $size -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "$url/$size"
    expect 200 "$url/$size"
    cmp $size answer
    expect 200 -I "$url/$size"
  done
  for key in 'a%20b' 'a+b' '~x' "it's(here)*!" '%C3%A9' '%c3%a9' 'a%2Fb' 'a%2fc' 'a//b' '/lead' 'a/./b' 'a/../b' '%2e' '%25' 'q%3Fq' 'c:d@e,f;g=h&i$'; do
    expect 200 -T small "$url/$key"
    expect 200 "$url/$key"
    cmp small answer
  done
  # A key is the same however its bytes were written.
  expect 200 "$url/%61%2Fb"; cmp small answer
  expect 200 "$url/a%2Bb"; cmp small answer
  # '+' stands for a space in a query, '%2B' for itself.
  expect 200 "$url?prefix=a+b"; grep -q '<Key>a b</Key>' answer
  expect 200 "$url?prefix=a%20b"; grep -q '<Key>a b</Key>' answer
  expect 200 "$url?prefix=a%2Bb"; grep -q '<Key>a+b</Key>' answer
  expect 200 "$url?max-keys=1&list-type=2&prefix=a%2F&delimiter=/&fetch-owner"
  expect 200 "$url?location&prefix=a&"
  expect 200 -T small -H 'x-amz-meta-name: é   ☃' -H 'content-type: text/plain;  charset=utf-8' "$url/small"
  expect 206 -r 10-19 "$url/large"
  [ "$(wc -c <answer)" = 10 ]
  expect 204 -X DELETE "$url/small"
  expect 404 "$url/small"
else
  aws="aws --endpoint-url $endpoint --region us-east-1 --no-sign-request"
  $aws s3api create-bucket --bucket "$bucket" >/dev/null
  $aws s3 cp --quiet small "s3://$bucket/a b+(c)*é.txt"
  $aws s3 cp --quiet large "s3://$bucket/large" # as parts: 8 MiB is where the CLI begins to
  $aws s3 cp --quiet "s3://$bucket/a b+(c)*é.txt" back && cmp small back
  $aws s3 cp --quiet "s3://$bucket/large" back && cmp large back
  # A large object would be copied in parts, which this Ceph allows to no role.
  $aws s3 cp --quiet "s3://$bucket/a b+(c)*é.txt" "s3://$bucket/copy é+ +"
  $aws s3api head-object --bucket "$bucket" --key 'copy é+ +' --query ContentLength --output text | grep -qx 1024
  $aws s3 ls "s3://$bucket/" | grep -qF 'a b+(c)*é.txt'
  $aws s3 rm --quiet --recursive "s3://$bucket/"
  $aws s3api delete-bucket --bucket "$bucket"
fi
