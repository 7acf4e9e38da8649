#!/bin/sh
# The AWS CLI and curl as a workload uses them: commands.sh PROGRAM unsigned|dummy DIR [ENDPOINT]. Prints a line for
# each thing tried: "ok WHAT", or "not ok WHAT: WHY".
set -u
program=$1 mode=$2 endpoint=${4:-}
mkdir -p "$3" && cd "$3" || exit 1
bucket=$(basename "$program" | tr -dc a-z)-$mode-$$

try() { # try WHAT COMMAND...
  what=$1; shift
  if "$@" >output 2>&1; then echo "ok $what"; else printf 'not ok %s: %s\n' "$what" "$(tr '\n' ' ' <output | head -c 500)"; fi
}

: >nothing
printf x >byte
head -c 65536 /dev/urandom >small
head -c 9437184 /dev/urandom >large
case $program in
*curl)
  url=${endpoint:-https://s3.us-east-1.amazonaws.com}
  ask() { curl -sS --fail-with-body --noproxy '*' ${CURL_CA_BUNDLE:+--cacert "$CURL_CA_BUNDLE"} "$@"; }
  [ "$mode" = unsigned ] || ask() {
    curl -sS --fail-with-body --noproxy '*' ${CURL_CA_BUNDLE:+--cacert "$CURL_CA_BUNDLE"} \
      --aws-sigv4 aws:amz:us-east-1:s3 -u AKIANOTREAL:not-a-secret "$@"
  }
  back() { ask -o back "$url/$bucket/$1" && cmp "$2" back && ask -X DELETE "$url/$bucket/$1"; }
  again() { ask -T "$1" "$url/$bucket/$1" && back "$1" "$1"; }
  chunked() { ask -T - "$url/$bucket/chunked" <large && back chunked large; }
  try "create a bucket" ask -X PUT "$url/$bucket"
  for file in nothing byte small large; do try "put and get $file" again $file; done
  try "put and get a stream" chunked
  ;;
*)
  [ "$mode" = unsigned ] && set -- --no-sign-request || set --
  [ "$mode" = unsigned ] || { export AWS_ACCESS_KEY_ID=AKIANOTREAL AWS_SECRET_ACCESS_KEY=not-a-secret; }
  export AWS_DEFAULT_REGION=us-east-1 AWS_MAX_ATTEMPTS=1 AWS_PAGER=
  ask() { service=$1; shift; "$program" ${endpoint:+--endpoint-url "$endpoint"} "$service" "$@" $options; }
  options=$*
  copy() { ask s3 cp --only-show-errors "$@"; }
  back() { copy "s3://$bucket/$1" back && cmp "$2" back && ask s3 rm "s3://$bucket/$1"; }
  again() { copy "$1" "s3://$bucket/$1" && back "$1" "$1"; }
  piped() { copy - "s3://$bucket/piped" <large && back piped large; }
  model() {
    printf '{"messages":[{"role":"user","content":"hello"}]}' >prompt
    ask bedrock-runtime invoke-model --model-id anthropic.model-v1:0 --body fileb://prompt back
  }
  "$program" configure set default.s3.addressing_style path
  try "create a bucket" ask s3api create-bucket --bucket "$bucket"
  for file in nothing byte small large; do try "put and get $file" again $file; done
  try "put and get a stream" piped
  [ -n "$endpoint" ] && exit
  try "get the caller's identity" ask sts get-caller-identity
  try "put a parameter" ask ssm put-parameter --name "/$bucket" --value value --type String
  try "get a parameter" ask ssm get-parameter --name "/$bucket"
  if "$program" bedrock-runtime help >/dev/null 2>&1; then try "invoke a model" model; fi
  ;;
esac
