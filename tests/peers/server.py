"""Python's HTTPS servers: server.py KIND PORT CERTIFICATE KEY [ADDRESS]. Each answers 200 to everything."""

import asyncio
import ssl
import sys

kind, port = sys.argv[1], int(sys.argv[2])
host = sys.argv[5] if len(sys.argv) > 5 else "127.0.0.1"
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(sys.argv[3], sys.argv[4])


def http_server():
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"ok\n")

        do_POST = do_GET

    server = ThreadingHTTPServer((host, port), Handler)
    # In the connection's own thread: one that says nothing must not hold up the others.
    server.get_request = lambda get=server.get_request: (
        lambda pair: (context.wrap_socket(pair[0], server_side=True, do_handshake_on_connect=False), pair[1])
    )(get())
    server.serve_forever()


def aiohttp_server():
    from aiohttp import web

    async def answer(request):
        await request.read()
        return web.Response(text="ok\n")

    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", answer)
    web.run_app(app, host=host, port=port, ssl_context=context)


async def websocket():
    """Answers an upgrade as RFC 6455 §1.3 has it, then sends back what comes."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        )
        while data := await reader.read(4096):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, host, port, ssl=context)
    await server.serve_forever()


kinds = {
    "http.server": http_server,
    "aiohttp": aiohttp_server,
    "websocket": lambda: asyncio.run(websocket()),
}
kinds[kind]()
