"""``privyseal webhook``: have what happens told to a URL, try it, and see what became of each message."""

from __future__ import annotations

import click
import msgspec

from privyseal.cli.client import Answer
from privyseal.cli.connection import connect, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable
from privyseal.web.views_of_requests import DeliveryList, DeliveryView, WebhookList, WebhookView


@click.group()
def webhook() -> None:
    """Have what happens told to a URL."""


@webhook.command("add", cls=Command)
@click.argument("target", metavar="URL")
@click.option("--topic", "topics", multiple=True, help="Such as request.released; all where none is given.")
@service_options
@json_option
# Each argument is an option of the command line.
def add(
    target: str,
    topics: tuple[str, ...],
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Add a webhook, and show the secret by which its messages are checked: this once only."""
    service = connect(profile, url, subscriber)
    document = msgspec.json.encode({"url": target, "topics": topics})
    body = service.post(service.path("webhooks"), document, "webhook-add")
    view = body.read(WebhookView)
    output = Output(json_mode)
    output.say(*_hook(view), *fill("secret", view.secret or "none"))
    output.result({"schema": "privyseal/webhook/1", **msgspec.json.decode(body.body)})


@webhook.command("list", cls=Command)
@service_options
@json_option
def list_webhooks(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """List the webhooks."""
    service = connect(profile, url, subscriber)
    body = service.get(service.path("webhooks"))
    output = Output(json_mode)
    for each in body.read(WebhookList).webhooks:
        output.say(*_hook(each))
    output.result({"schema": "privyseal/webhooks/1", **msgspec.json.decode(body.body)})


@webhook.command("remove", cls=Command)
@click.argument("name", metavar="WEBHOOK")
@service_options
@json_option
def remove(name: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """End a webhook."""
    service = connect(profile, url, subscriber)
    service.ask("DELETE", service.path("webhooks", name), None, {})
    output = Output(json_mode)
    output.say(f"{mark(True)} {printable(name)} is told nothing more")
    output.result({"schema": "privyseal/webhook-removed/1", "id": name})


@webhook.command("test", cls=Command)
@click.argument("name", metavar="WEBHOOK")
@service_options
@json_option
def test(name: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """Have a message sent that says nothing but that it is one."""
    service = connect(profile, url, subscriber)
    _one(service.post(service.path("webhooks", name, "tests"), b"", "webhook-test"), json_mode)


@webhook.command("deliveries", cls=Command)
@service_options
@json_option
def deliveries(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """List the newest messages and what became of each."""
    service = connect(profile, url, subscriber)
    body = service.get(service.path("deliveries"))
    output = Output(json_mode)
    for each in body.read(DeliveryList).deliveries:
        output.say(*_delivery(each))
    output.result({"schema": "privyseal/deliveries/1", **msgspec.json.decode(body.body)})


@webhook.command("replay", cls=Command)
@click.argument("name", metavar="DELIVERY")
@service_options
@json_option
def replay(name: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """Have a message sent again, the same octets under the same id."""
    service = connect(profile, url, subscriber)
    _one(service.post(service.path("deliveries", name, "replays"), b"", "webhook-replay"), json_mode)


def _one(body: Answer, json_mode: JsonMode | None) -> None:
    output = Output(json_mode)
    output.say(*_delivery(body.read(DeliveryView)))
    output.result({"schema": "privyseal/delivery/1", **msgspec.json.decode(body.body)})


def _hook(view: WebhookView) -> list[str]:
    lines = [f"{mark(True)} {view.id}", *fill("url", printable(view.url, 400))]
    return lines + fill("topics", ", ".join(view.topics))


def _delivery(view: DeliveryView) -> list[str]:
    good = {"done": True, "dead": False, "waiting": None}[view.state]
    lines = [f"{mark(good)} {view.id} {view.topic} to {view.webhook}: {view.state}"]
    return lines + fill("tries", f"{view.tries}; {printable(view.said or 'not tried yet', 400)}")
