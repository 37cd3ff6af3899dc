"""Python's HTTPS clients: client.py KIND BASE CERTIFICATE [1.2|1.3]. Each sends GET BASE/one, then POST
BASE/two with a body of 100,000 bytes, then GET BASE/three, kept alive where the client can."""

import asyncio
import ssl
import sys
from urllib.parse import urlsplit

kind, base, certificate = sys.argv[1:4]
context = ssl.create_default_context(cafile=certificate)
if len(sys.argv) > 4:
    version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[sys.argv[4]]
    context.minimum_version = context.maximum_version = version
host, port, prefix = urlsplit(base).hostname, urlsplit(base).port, urlsplit(base).path
body = b"b" * 100_000
wanted = [("GET", "/one", None), ("POST", "/two", body), ("GET", "/three", None)]
headers = {"Authorization": "Bearer from-python"}


def urllib():
    import urllib.request

    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
    opener = urllib.request.build_opener(*handlers)
    for method, path, data in wanted:
        request = urllib.request.Request(base + path, data=data, headers=headers, method=method)
        assert opener.open(request, timeout=10).read()


def http_client():
    from http.client import HTTPSConnection

    connection = HTTPSConnection(host, port, context=context, timeout=10)
    for method, path, data in wanted:
        connection.request(method, prefix + path, data, headers)
        assert connection.getresponse().read()


def resumed():
    """Three connections, the second and third with the session of the one before."""
    import socket

    session = None
    for _, path, _ in wanted:
        raw = socket.create_connection((host, port), timeout=10)
        with context.wrap_socket(raw, server_hostname=host, session=session) as tls:
            tls.sendall(f"GET {prefix}{path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            assert tls.recv(4096)
            assert tls.session_reused == (session is not None)
            session = tls.session


def websocket():
    """The handshake of RFC 6455 §1.3, then frames both ways, one with what looks like a request."""
    import socket

    raw = socket.create_connection((host, port), timeout=10)
    with context.wrap_socket(raw, server_hostname=host) as tls:
        tls.sendall(
            f"GET {prefix}/socket HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\nAuthorization: Bearer from-python\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += tls.recv(4096)
        assert b" 101 " in answer.splitlines()[0] + b" ", answer
        for _ in range(5):
            tls.sendall(b"GET /no-request HTTP/1.1\r\nHost: frame\r\n\r\n")
            assert tls.recv(4096)


async def streams():
    """asyncio speaks TLS through memory: the socket's bytes never pass through SSL_read's descriptor."""
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    for method, path, data in wanted:
        data = data or b""
        head = f"{method} {prefix}{path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        length = [line for line in head.lower().splitlines() if line.startswith(b"content-length:")]
        await reader.readexactly(int(length[0].split(b":")[1]))
    writer.close()


def requests():
    import requests

    with requests.Session() as session:
        session.trust_env = False
        session.verify = certificate
        for method, path, data in wanted:
            assert session.request(method, base + path, data=data, headers=headers, timeout=10).ok


def httpx(http2):
    import httpx

    with httpx.Client(http2=http2, verify=context, trust_env=False, timeout=10) as client:
        for method, path, data in wanted:
            answer = client.request(method, base + path, content=data, headers=headers)
            assert answer.status_code == 200 and answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")


async def aiohttp():
    import aiohttp

    async with aiohttp.ClientSession(headers=headers) as session:
        for method, path, data in wanted:
            async with session.request(method, base + path, data=data, ssl=context) as answer:
                assert answer.status == 200 and await answer.read()


async def httpx_streams():
    """Twenty requests at a time over one connection of HTTP/2."""
    import httpx

    async with httpx.AsyncClient(http2=True, verify=context, trust_env=False, timeout=10) as client:
        await client.get(base + "/first", headers=headers)
        answers = await asyncio.gather(
            *(client.get(f"{base}/n{number}n", headers=headers) for number in range(20))
        )
        assert all(answer.status_code == 200 for answer in answers)


kinds = {
    "urllib": urllib,
    "http.client": http_client,
    "resumed": resumed,
    "websocket": websocket,
    "asyncio": lambda: asyncio.run(streams()),
    "requests": requests,
    "httpx": lambda: httpx(False),
    "httpx-h2": lambda: httpx(True),
    "httpx-streams": lambda: asyncio.run(httpx_streams()),
    "aiohttp": lambda: asyncio.run(aiohttp()),
}
kinds[kind]()
