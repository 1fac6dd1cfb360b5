#!/usr/bin/env python3
"""An SMTP server that does what real ones won't do when asked. odd_smtp.py PORT WHAT; one connection after the other, each in
a thread. WHAT is the name of a function below."""
import base64
import socket
import sys
import threading
import time


class Talk:
    def __init__(self, sock):
        self.sock, self.file = sock, sock.makefile("rb")

    def say(self, text):
        self.sock.sendall(text.encode() + b"\r\n")

    def hear(self):
        line = self.file.readline()
        if not line:
            raise EOFError
        return line.decode("latin-1").strip()

    def until(self, verb):
        """Answers politely until the verb comes; returns that line."""
        while True:
            line = self.hear()
            word = line.split(" ")[0].upper()
            if word == verb:
                return line
            if word == "EHLO":
                self.say("250-odd.example.net")
                self.say("250-SIZE 10000")
                self.say("250-STARTTLS" if verb == "STARTTLS" else "250-8BITMIME")
                self.say("250-AUTH LOGIN CRAM-MD5" if verb == "AUTH" else "250-HELP")
                self.say("250 ENHANCEDSTATUSCODES")
            elif word == "QUIT":
                self.say("221 2.0.0 bye")
                raise EOFError
            else:
                self.say("250 2.0.0 fine")


def pieces(t):
    for part in ("2", "20-odd.exa", "mple.net\r", "\n220", " late\r\n"):
        t.sock.sendall(part.encode())
        time.sleep(0.15)
    t.until("NEVER")


def helo_only(t):
    t.say("220 old.example.net")
    t.hear()
    t.say("502 5.5.1 what is that?")
    t.hear()
    t.say("250 hello")
    t.until("NEVER")


def busy(t):
    t.say("421 4.3.2 too many connections")


def closed(t):
    t.say("554 5.7.1 no mail from you")
    t.until("NEVER")


def inject(t):
    t.say("220 odd.example.net")
    t.until("STARTTLS")
    t.sock.sendall(b"220 2.0.0 go\r\n250 2.0.0 slipped in\r\n")
    time.sleep(1)


def no_tls(t):
    t.say("220 odd.example.net")
    t.until("STARTTLS")
    t.say("454 4.7.0 TLS not available due to local problem")
    t.until("NEVER")


def not_tls(t):
    t.say("220 odd.example.net")
    t.until("STARTTLS")
    t.say("220 2.0.0 go")
    t.sock.recv(2000)
    t.say("this is no TLS")


def hang_up(t):
    t.say("220 odd.example.net")
    t.until("MAIL")


def hang(t):
    t.say("220 odd.example.net")
    t.until("RCPT")
    time.sleep(30)


def cut_body(t):
    t.say("220 odd.example.net")
    t.until("DATA")
    t.say("354 go on")
    t.sock.recv(1000)


def body_421(t):
    t.say("220 odd.example.net")
    t.until("DATA")
    t.say("354 go on")
    while t.hear() != ".":
        pass
    t.say("421 4.4.2 timeout exceeded")


def talks_ssh(t):
    t.say("SSH-2.0-odd")
    time.sleep(1)


def silent(t):
    time.sleep(30)


def flood(t):
    try:
        while True:
            t.sock.sendall(b"x" * 65536)
    except OSError:
        pass


def endless(t):
    t.say("220 odd.example.net")
    t.hear()
    try:
        while True:
            t.say("250-MORE")
    except OSError:
        pass


def echo_secret(t):
    """Sends back what it was given."""
    t.say("220 odd.example.net")
    t.until("AUTH")
    t.say("334 " + base64.b64encode(b"Username:").decode())
    user = t.hear()
    t.say("334 " + base64.b64encode(b"Password:").decode())
    word = t.hear()
    t.say("535 5.7.8 wrong: %s %s %s" % (user, word, base64.b64decode(word).decode()))
    t.until("NEVER")


def auth_454(t):
    t.say("220 odd.example.net")
    t.until("AUTH")
    t.say("454 4.7.0 Temporary authentication failure")
    t.until("NEVER")


seen = set()


def greylist(t):
    t.say("220 odd.example.net")
    line = t.until("RCPT")
    if line not in seen:
        seen.add(line)
        t.say("450 4.2.0 come back later")
    else:
        t.say("250 2.1.5 welcome")
    t.until("NEVER")


def always_450(t):
    t.say("220 odd.example.net")
    t.until("RCPT")
    t.say("450 4.2.0 come back later")
    t.until("NEVER")


def defers_all(t):
    t.say("220 odd.example.net")
    while True:
        t.until("RCPT")
        t.say("451 4.3.0 try later")


def main():
    what = globals()[sys.argv[2]]
    server = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True, backlog=2000)

    def serve(sock):
        with sock:
            try:
                what(Talk(sock))
            except (EOFError, OSError):
                pass

    while True:
        sock, _ = server.accept()
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


main()
