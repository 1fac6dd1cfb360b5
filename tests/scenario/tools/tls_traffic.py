#!/usr/bin/env python3
"""TLS traffic: "serve ADDRESS PORT CERT" answers each connection's bytes with a tenth as many; "run ADDRESS PORT BYTES PAUSE..."
opens one connection for each PAUSE (seconds, after the one before has begun) and sends BYTES more over each than over the last."""
import socket
import ssl
import sys
import threading
import time


def answer(connection, context):
    with context.wrap_socket(connection, server_side=True) as tls:
        while data := tls.recv(65536):
            tls.sendall(b"r" * (len(data) // 10 + 1))


def serve(address, port, cert):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert)
    listener = socket.create_server((address, port))
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection, context), daemon=True).start()


def send(address, port, size):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(socket.create_connection((address, port))) as tls:
        for at in range(0, size, 16384):
            tls.sendall(b"x" * min(16384, size - at))
            tls.recv(65536)
            time.sleep(0.01)


def run(address, port, size, *pauses):
    threads = []
    for number, pause in enumerate(pauses, 1):
        threads.append(threading.Thread(target=send, args=(address, port, size * number)))
        threads[-1].start()
        time.sleep(float(pause))
    for thread in threads:
        thread.join()


if sys.argv[1] == "serve":
    serve(sys.argv[2], int(sys.argv[3]), sys.argv[4])
else:
    run(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
