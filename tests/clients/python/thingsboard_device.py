"""A device with ThingsBoard's own client for Python, tb-mqtt-client: takes firmware into its folder until it is stopped.

The client is used as its documentation says, with one subscription more: its own, `v2/fw/response/+`, takes no chunk on any broker but
ThingsBoard's. Prints `ready`, and then each state that it reports.
"""

import argparse
import os
import sys
import time

from tb_device_mqtt import TBDeviceMqttClient


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--broker", required=True, help="HOST:PORT")
    parser.add_argument("--dir", required=True, help="where firmware is stored, under its title")
    parser.add_argument("--chunk", type=int, default=0, help="bytes in a chunk; 0 = the whole file in one message")
    args = parser.parse_args()
    os.makedirs(args.dir, exist_ok=True)
    os.chdir(args.dir)

    host, port = args.broker.rsplit(":", 1)
    client = TBDeviceMqttClient(host, int(port), "token", client_id="thingsboard-device", chunk_size=args.chunk)
    client.connect()
    while not client.is_connected():
        time.sleep(0.02)
    # Subscribed to before anything is offered.
    client._client.subscribe("v2/fw/response/+/chunk/+", 1)
    time.sleep(0.3)
    print("ready", flush=True)
    client.get_firmware_update()

    said = None
    while True:
        state = client.current_firmware_info["fw_state"]
        if state != said:
            said = state
            print(f"state {state} {client.current_firmware_info['fw_error']}".strip(), flush=True)
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
