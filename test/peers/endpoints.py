"""Prints what botocore signs for at every endpoint it resolves: HOST SERVICE REGION ALGORITHM ORIGIN, once each.

For all services, regions (of the partitions' tables, pseudo-regions included) and variants, by real clients up to
the point where they would send. Needs only botocore; sends nothing. Names of services as arguments: only these.
With --sample: reads such lines from standard input, and prints some of them, drawn alike each time.
"""

import os
import sys
from itertools import product
from urllib.parse import urlsplit
from zlib import crc32

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.regions import EndpointRulesetResolver

ACCOUNT = "123456789012"
ARN = "arn:{partition}:{service}:{region}:" + ACCOUNT + ":{kind}/name"
STORE = "arn:aws:cloudfront::" + ACCOUNT + ":key-value-store/name"
# Values of the parameters that make part of a host name; each is tried beside the call without any.
DYNAMIC = {
    "dynamodb": [{}, {"AccountIdEndpointMode": "disabled"}, {"ResourceArn": ARN.replace("{kind}", "table")}],
    "dynamodbstreams": [{}, {"AccountIdEndpointMode": "disabled"}, {"StreamArn": ARN.replace("{kind}", "table")}],
    "eventbridgev2": [{}, {"AccountIdEndpointMode": "disabled"}, {"EventBusArn": ARN.replace("{kind}", "event-bus")}],
    "events": [{}, {"EndpointId": "abcde.veo"}],
    "sesv2": [{}, {"EndpointId": "abcde.mrep"}],
    "kinesis": [{}, {"StreamARN": ARN.replace("{kind}", "stream")}],
    "cloudfront-keyvaluestore": [{"KvsARN": STORE}],
    "s3control": [{}, {"AccountId": ACCOUNT, "RequiresAccountId": True}],
    "opensearchmemory": [{}, {"SpaceId": "space-1"}],
    "s3": [
        {},
        {"Bucket": "bucket"},
        {"Bucket": "bucket.with.dots"},
        {"Bucket": "bucket", "UseObjectLambdaEndpoint": True},
        {"Bucket": "bucket--usw2-az1--x-s3"},
        {"Bucket": "bucket--usw2-az1--xa-s3"},
        {"Bucket": "arn:{partition}:s3:{region}:" + ACCOUNT + ":accesspoint/point"},
        {"Bucket": "arn:{partition}:s3::" + ACCOUNT + ":accesspoint/abcde.mrap"},
        {"Bucket": "arn:{partition}:s3-object-lambda:{region}:" + ACCOUNT + ":accesspoint/point"},
        {"Bucket": "arn:{partition}:s3-outposts:{region}:" + ACCOUNT + ":outpost/op-01234567890123456/accesspoint/point"},
        {"Bucket": "name-0000000000000000000000000000000000000000000000000000--op-s3"[-63:]},
        {"Bucket": "bucket", "Accelerate": True},
    ],
}
# What stands for the parameters in the prefixes of hosts.
LABELS = {"{accountid}": ACCOUNT, "{requestroute}": "route", "{graphidentifier}": "g-0123456789"}


def operations(model):
    """One operation for each way in which the host depends on it."""
    seen = {}
    for name in model.operation_names:
        operation = model.operation_model(name)
        key = (
            (operation.endpoint or {}).get("hostPrefix", ""),
            repr(operation.static_context_parameters),
            operation.resolved_auth_type,
        )
        seen.setdefault(key, operation)
    return seen.items()


def resolve(session, service, region, partition, fips, dual):
    config = Config(use_fips_endpoint=fips, use_dualstack_endpoint=dual, signature_version=None)
    client = session.create_client(
        service,
        region_name=region,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        aws_account_id=ACCOUNT,
        config=config,
    )
    if client.meta.service_model.metadata["signatureVersion"] == "v2":
        return
    signer = client._request_signer
    resolver = client._ruleset_resolver
    names = {"partition": partition, "service": service, "region": region}
    for (prefix, *_), operation in operations(client.meta.service_model):
        for dynamic in DYNAMIC.get(service, [{}]):
            given = {
                name: value.format(**names) if isinstance(value, str) else value for name, value in dynamic.items()
            }
            params = resolver._get_provider_params(operation, {}, {"client_config": client.meta.config})
            params.update(given)
            if params.get("AccountIdEndpointMode") is None and "AccountIdEndpointMode" in resolver._param_definitions:
                params["AccountIdEndpointMode"] = "preferred"
            try:
                endpoint = resolver._provider.resolve_endpoint(**params)
            except BotoCoreError:
                continue
            service_name, region_name = signer.signing_name, signer.region_name
            algorithm = operation.resolved_auth_type or client.meta.config.signature_version
            schemes = endpoint.properties.get("authSchemes")
            # SigV4 where the endpoint takes it beside SigV4A.
            schemes = [scheme for scheme in schemes or [] if scheme["name"] != "sigv4a"] or schemes
            if schemes and schemes[0]["name"] == "sigv4a":
                algorithm, region_name = "v4a", ",".join(schemes[0]["signingRegionSet"])
                service_name = schemes[0].get("signingName", service_name)
            elif schemes:
                algorithm, context = resolver.auth_schemes_to_signing_ctx(schemes)
                service_name = context.get("signing_name", service_name)
                region_name = context.get("region", region_name)
            if algorithm in ("none", "bearer"):
                continue
            host = urlsplit(endpoint.url).hostname
            label = prefix.lower()
            for parameter, value in LABELS.items():
                label = label.replace(parameter, value)
            if not host.startswith(label):
                host = label + host
            if f".{region}." in host and (region.endswith("-global") or not schemes and region_name != region):
                continue  # no such name: one is made for every region, also of services that are in none or one
            variant = ("fips" if fips else "") + ("dual" if dual else "") or "plain"
            yield host, service_name, region_name or "-", algorithm, f"{service}/{region}/{variant}/{','.join(dynamic)}"


def endpoints(session, services):
    partitions = session.get_component("data_loader").load_data("partitions")["partitions"]
    for service, partition in product(services, partitions):
        for region, fips, dual in product(partition["regions"], (False, True), (False, True)):
            try:
                yield from resolve(session, service, region, partition["id"], fips, dual)
            except BotoCoreError:
                continue  # a variant that the partition does not have


def sample(lines):
    """Of the hosts that mean one thing: one of each service, one in 250 of the rest, one in 6 of those without a region."""
    answers, services = {}, {}
    for host, service, region, algorithm, origin in lines:
        answers.setdefault(host, set()).add((service, region, "v4a" if algorithm == "v4a" else "v4"))
        services.setdefault(host, origin.split("/")[0])
    seen = set()
    for host in sorted(answers, key=lambda host: crc32(host.encode())):
        if len(answers[host]) > 1:
            continue
        ((service, region, algorithm),) = answers[host]
        every = 6 if region not in host else 250
        if services[host] not in seen or crc32(host.encode()) % every == 0:
            seen.add(services[host])
            yield host, service, region, algorithm


def main():
    if sys.argv[1:] == ["--sample"]:
        for line in sorted(sample(map(str.split, sys.stdin))):
            print(*line)
        return
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    session = botocore.session.get_session()
    seen = set()
    for line in endpoints(session, sys.argv[1:] or session.get_available_services()):
        if line[:4] not in seen:
            seen.add(line[:4])
            print(*line)


main()
