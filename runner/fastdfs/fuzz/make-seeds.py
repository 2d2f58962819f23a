#!/usr/bin/env python3
"""Makes seeds/ from the recorded traffic: each request and answer goes, without its header, to the target that reads it.
A client.conf is in no traffic: those stand here.

    fuzz/make-seeds.py            (in runner/fastdfs)

What is made depends on vectors.json and this script alone; names are digests, so equal bodies are one file."""

import hashlib
import json
import shutil
from pathlib import Path

HERE = Path(__file__).parent
LONGEST = 4096

REQUESTS = {
    11: "upload_head", 12: "file_request", 13: "metadata_request", 14: "download_request", 15: "file_request",
    21: "slave_request", 22: "file_request", 23: "upload_head", 24: "append_request", 34: "modify_request",
    36: "truncate_request", 38: "stored_name", 90: "tracker_request", 92: "tracker_request", 93: "tracker_request",
    102: "file_request", 103: "file_request", 104: "tracker_request", 105: "file_request", 107: "tracker_request",
}
ANSWERS = {
    11: "file_request", 15: "metadata", 21: "file_request", 22: "file_info", 23: "file_request", 38: "file_request",
    90: "group_list", 91: "group_list", 92: "storage_list", 95: "leader_answer", 101: "store_answer",
    102: "fetch_answer", 103: "fetch_answer", 104: "store_answer", 105: "fetch_answer", 106: "store_answer",
    107: "store_answer",
}
# What reads the 15 bytes before the content alone.
HEADS = {"upload_head": 15}

CONFS = [
    """\
# connect timeout in seconds
# default value is 30s
connect_timeout = 5

# network timeout in seconds
network_timeout = 60

# the base path to store log files
base_path = /opt/fastdfs

# tracker_server can occur more than once for multi tracker servers.
# the value format of tracker_server is "HOST:PORT",
#   the HOST can be hostname or ip address,
#   and the HOST can be dual IPs or hostnames separated by comma
tracker_server = 192.168.0.196:22122
tracker_server = 192.168.0.197:22122

#standard log level as syslog, case insensitive
log_level = info

# if use connection pool
use_connection_pool = false

# connections whose the idle time exceeds this time will be closed
# unit: second
connection_pool_max_idle_time = 3600

#HTTP settings
http.tracker_server_port = 80

##include http.conf
""",
    "tracker_server=tracker-1.example_net\r\ntracker_server = 10.0.0.1,172.16.0.1:22000\r\n",
    "tracker_server = [fe80::1]:22000\ntracker_server = fe80::1\ntracker_server = a:1, [::ffff:10.0.0.1], b: 3",
    "\ttracker_server\t=\ta\nconnect_timeout=0\nnetwork_timeout=-1\nuse_connection_pool = ON\n",
    "tracker_server = a\nconnect_timeout = 31536000\n[group1]\nconnect_timeout = never\ntracker_server = :\n",
    "connect_timeout = 5\n[trackers]\ntracker_server = a:1\n",
    "tracker_server = a:1\n\n#include other.conf\n",
    "tracker_server = [::1:5\n",
    "tracker_server = a:65536\n",
    "tracker_server = a:1\nnetwork_timeout = 99999999999\n",
    "use_connection_pool = maybe\n",
    "just words \x7f\u00e4\n",
    # What takes the most room for its length, and is quoted at the greatest length.
    f"tracker_server={','.join('a' * 200)}\ntracker_server=a\n",
    f"tracker_server={200 * chr(0x7F)}",
]


def bodies(item):
    """The target and the bytes of everything in one recording."""
    request, response = (bytes.fromhex(item[f"{way}_hex"]) for way in ("request", "response"))
    if len(request) < 10:
        return
    command = request[8]
    yield "header", request[:10]
    if target := REQUESTS.get(command):
        yield target, request[10:][: HEADS.get(target, LONGEST)]
    if len(response) >= 10:
        yield "header", response[:10]
        if (target := ANSWERS.get(command)) and len(response) > 10:
            yield target, response[10:]
    if command == 13 and len(request) > 43:
        yield "metadata", request[43 + int.from_bytes(request[10:18], "big") :]
    if name := item["decoded"].get("filename"):
        yield "stored_name", name.encode()
        yield "file_id", f"group1/{name}".encode()


def older(target, answer):
    """Layouts of servers before 6.13, which were not recorded, out of newer answers."""
    if target == "group_list" and len(answer) == 113:
        return [answer[:33] + answer[41:], answer[:33] + answer[41:65] + (8080).to_bytes(8, "big") + answer[73:]]
    if target == "storage_list" and len(answer) == 487:
        http = answer[58:90] + answer[98:138] + (8080).to_bytes(8, "big")
        return [answer[:1] + answer[2:34] + bytes(128) + answer[34:50] + answer[50:56] + http + answer[138:]]
    if target == "fetch_answer" and len(answer) == 39:
        return [answer + answer[16:31]]
    return []


def main():
    items = json.loads((HERE / "../tests/vectors.json").read_text())
    shutil.rmtree(HERE / "seeds", ignore_errors=True)
    made = {(target, body) for item in items for target, body in bodies(item) if len(body) <= LONGEST}
    made |= {("client_conf", conf.encode()) for conf in CONFS}
    made |= {(target, body) for target, answer in sorted(made) for body in older(target, answer)}
    for target, body in sorted(made):
        folder = HERE / "seeds" / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha256(body).hexdigest()[:16]).write_bytes(body)
    print(f"{len(made)} seeds, {sum(len(body) for _, body in made)} bytes")


if __name__ == "__main__":
    main()
