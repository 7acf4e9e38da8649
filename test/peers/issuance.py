"""Prints the operations that AWS credentials come back from, by the models of botocore: SERVICE METHOD PATH TARGET OPERATION.

SERVICE is the signing name; PATH has x in place of every parameter; TARGET is the X-Amz-Target, or -.
"""
import re

from botocore.session import Session

KEYS = {"secretaccesskey", "sessiontoken"}


def holds_keys(shape, seen=()):
    if shape is None or shape.name in seen:
        return False
    seen = (*seen, shape.name)
    if shape.type_name == "structure":
        return any(name.lower() in KEYS or holds_keys(member, seen) for name, member in shape.members.items())
    if shape.type_name == "list":
        return holds_keys(shape.member, seen)
    return shape.type_name == "map" and holds_keys(shape.value, seen)


session = Session()
for name in session.get_available_services():
    service = session.get_service_model(name)
    for operation in map(service.operation_model, service.operation_names):
        if operation.auth_type == "none" or not holds_keys(operation.output_shape):
            continue
        path = re.sub(r"\{[^}]*\}", "x", operation.http["requestUri"])
        target = "-"
        if service.protocol == "smithy-rpc-v2-cbor":
            path = f"/service/{service.metadata['targetPrefix']}/operation/{operation.name}"
        elif service.protocol == "json":
            target = f"{service.metadata['targetPrefix']}.{operation.name}"
        print(service.signing_name, operation.http["method"], path, target, operation.name)
