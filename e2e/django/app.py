"""A Django application that answers to the names in ALLOWED_HOSTS only.

Listens on a free port of 127.0.0.1 and says which: "port 12345".
"""

from wsgiref.simple_server import WSGIRequestHandler, make_server

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["app.example.com"],
    DEBUG=False,
    LOGGING_CONFIG=None,
    # It asks each request for its host, as the middleware of every new project.
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="a key for tests only",
)

urlpatterns = [
    path("health", lambda request: HttpResponse("well")),
    path("", lambda request: HttpResponse("page of " + request.get_host())),
]


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


with make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet) as server:
    print("port", server.server_port, flush=True)
    server.serve_forever()
