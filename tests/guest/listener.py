"""Everything that the broker hands over, a line each. Runs in the guest, with the installed agent's packages."""

from __future__ import annotations

import json
import sys

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion


def tell(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
    sys.stdout.write(json.dumps({"topic": message.topic, "payload": message.payload.hex()}) + "\n")
    sys.stdout.flush()


client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener")
client.tls_set("ca.pem", sys.argv[1], sys.argv[2])
client.on_message = tell
client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
client.connect("localhost", 8883)
client.loop_forever()
