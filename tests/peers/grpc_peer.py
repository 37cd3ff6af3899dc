"""gRPC without generated code: grpc_peer.py serve PORT [CERTIFICATE KEY], or grpc_peer.py call ADDRESS
[CERTIFICATE], which makes one call of each kind of outcome over one connection."""

import sys
import time
from concurrent import futures

import grpc

SERVICE = "bailiwick.test.Shop"
# Method, what the server ends it with.
CALLS = [
    ("Ok", grpc.StatusCode.OK),
    ("Missing", grpc.StatusCode.NOT_FOUND),
    ("Denied", grpc.StatusCode.PERMISSION_DENIED),
    ("Many", grpc.StatusCode.OK),
]


def serve(port, *pair):
    def one(code):
        def answer(request, context):
            if code != grpc.StatusCode.OK:
                context.abort(code, "as asked")
            return b"answer"

        return answer

    def many(requests, context):
        for request in requests:
            yield request * 1000

    handlers = {
        name: grpc.unary_unary_rpc_method_handler(one(code)) for name, code in CALLS if name != "Many"
    }
    handlers["Many"] = grpc.stream_stream_rpc_method_handler(many)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    if pair:
        certificate, key = (open(name, "rb").read() for name in pair)
        server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials([(key, certificate)]))
    else:
        server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    time.sleep(600)


def call(address, certificate=None):
    metadata = [("authorization", "Bearer from-grpc")]
    if certificate:
        credentials = grpc.ssl_channel_credentials(open(certificate, "rb").read())
        channel = grpc.secure_channel(address, credentials)
    else:
        channel = grpc.insecure_channel(address)
    with channel:
        for name, code in CALLS:
            path = f"/{SERVICE}/{name}"
            if name == "Many":
                answers = channel.stream_stream(path)(iter([b"x"] * 50), metadata=metadata, timeout=10)
                assert sum(len(answer) for answer in answers) == 50_000
                continue
            try:
                channel.unary_unary(path)(b"ask", metadata=metadata, timeout=10)
                assert code == grpc.StatusCode.OK
            except grpc.RpcError as error:
                assert error.code() == code, error


{"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
