#!/usr/bin/env python3
"""Browses and advertises phones by multicast DNS, with `zeroconf`.

    mdns.py browse SECONDS [COUNT]    prints what it found as JSON, and ends early at COUNT phones
    mdns.py advertise                 reads a JSON list of adverts, announces them until stdin ends
    mdns.py flood EVENTS              announces phones and takes them back, EVENTS packets in all
"""

import json
import socket
import sys
import time

from zeroconf import (
    DNSAddress, DNSOutgoing, DNSPointer, DNSService, DNSText, IPVersion, ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf, const,
)  # fmt: skip

SERVICE = "_apple-mobdev2._tcp.local."


class Found(ServiceListener):
    def __init__(self):
        self.started = time.monotonic()
        self.phones = {}

    def add_service(self, zc, kind, name):
        info = zc.get_service_info(kind, name, timeout=3000)
        if not info:
            return
        self.phones[name.removesuffix("." + SERVICE)] = {
            "after": round(time.monotonic() - self.started, 3),
            "addresses": sorted(info.parsed_scoped_addresses(IPVersion.All)),
            "port": info.port,
            "server": info.server,
            "properties": {key.decode(): value.decode() for key, value in info.properties.items() if value is not None},
        }

    update_service = add_service

    def remove_service(self, zc, kind, name):
        self.phones.pop(name.removesuffix("." + SERVICE), None)


def browse(seconds, count):
    zc = Zeroconf(ip_version=IPVersion.All)
    found = Found()
    ServiceBrowser(zc, SERVICE, found)
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(found.phones) < count:
        time.sleep(0.02)
    print(json.dumps(found.phones))
    zc.close()


def advertise():
    zc = Zeroconf(ip_version=IPVersion.All)
    for advert in json.loads(sys.stdin.readline()):
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        addresses = [socket.inet_pton(family[":" in address], address) for address in advert["addresses"]]
        info = ServiceInfo(
            SERVICE, f"{advert['name']}.{SERVICE}", addresses=addresses, port=advert.get("port", 62078),
            properties=advert.get("properties", {}), server=f"phone-{len(advert['name'])}.local.", host_ttl=120, other_ttl=120,
        )  # fmt: skip
        zc.register_service(info)
    print("ready", flush=True)
    sys.stdin.read()
    zc.close()


def flood(events):
    """Sends packets as fast as a browser takes them: a phone appears in one, and leaves in the next."""
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    for number in range(events):
        phone, leaves = divmod(number, 2)
        ttl = 0 if leaves else 120
        name = f"02:00:{phone >> 24 & 255:02x}:{phone >> 16 & 255:02x}:{phone >> 8 & 255:02x}:{phone & 255:02x}@fe80::{phone:x}.{SERVICE}"
        host = f"phone-{phone}.local."
        message = DNSOutgoing(const._FLAGS_QR_RESPONSE | const._FLAGS_AA)
        unique = const._CLASS_IN | const._CLASS_UNIQUE
        message.add_answer_at_time(DNSPointer(SERVICE, const._TYPE_PTR, const._CLASS_IN, ttl, name), 0)
        message.add_answer_at_time(DNSService(name, const._TYPE_SRV, unique, ttl, 0, 0, 62078, host), 0)
        message.add_answer_at_time(DNSText(name, const._TYPE_TXT, unique, ttl, b"\0"), 0)
        address = bytes([10, 99, phone >> 8 & 255, phone & 255])
        message.add_answer_at_time(DNSAddress(host, const._TYPE_A, unique, ttl, address), 0)
        for packet in message.packets():
            out.sendto(packet, ("224.0.0.251", 5353))
        if number % 10 == 9:
            time.sleep(0.01)
    print("ready", flush=True)


def main():
    match sys.argv[1:]:
        case ["browse", seconds]:
            browse(float(seconds), 1 << 30)
        case ["browse", seconds, count]:
            browse(float(seconds), int(count))
        case ["advertise"]:
            advertise()
        case ["flood", events]:
            flood(int(events))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
