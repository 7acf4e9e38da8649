"""A cloud that checks every signature with botocore's signer: moto_upstream.py CERTIFICATE KEY.

Prints its port and the keys of its one user as a line of JSON, and serves until its input ends.
"""
import json
import os
import sys
import threading

os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "0"  # from the first request on

from moto.iam.models import iam_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

anything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
iam = iam_backends["123456789012"]["aws"]
iam.create_user(region_name="us-east-1", user_name="peer")
iam.put_user_policy("peer", "anything", json.dumps(anything))
key = iam.create_access_key("peer")

application = DomainDispatcherApplication(create_backend_app)
server = make_server("127.0.0.1", 0, application, threaded=True, ssl_context=(sys.argv[1], sys.argv[2]))
threading.Thread(target=server.serve_forever, daemon=True).start()
keys = {"accessKeyId": key.access_key_id, "secretAccessKey": key.secret_access_key}
print(json.dumps({"port": server.port, "keys": keys}), flush=True)
sys.stdin.read()
