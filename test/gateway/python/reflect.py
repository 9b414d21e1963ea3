"""A client that knows nothing of the API: it asks reflection for it, under the name in argv, and then calls Health with what it was told."""

import sys

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from plain import SERVICE, open_channel


def fields(data):
    """Pairs of number and bytes of a message: enough for what reflection answers."""
    at = 0

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            varint()
        else:
            size = varint()
            yield key >> 3, data[at : at + size]
            at += size


def ask(channel, reflection, request):
    call = channel.stream_stream(f"/{reflection}/ServerReflectionInfo", lambda b: b, lambda b: b)
    return dict(fields(next(call(iter([request]), timeout=30))))


def text(number, value):
    """A field with a short text."""
    data = value.encode()
    return bytes([number << 3 | 2, len(data)]) + data


def main():
    reflection = sys.argv[1]
    channel = open_channel()
    # list_services = 7, answered by list_services_response = 6 { service = 1 { name = 1 } }
    services = [dict(fields(entry))[1].decode() for _, entry in fields(ask(channel, reflection, text(7, ""))[6])]
    assert SERVICE in services and reflection in services, services
    # file_containing_symbol = 4, answered by file_descriptor_response = 4 { file_descriptor_proto = 1 }
    files = {}
    for _, data in fields(ask(channel, reflection, text(4, SERVICE))[4]):
        file = descriptor_pb2.FileDescriptorProto.FromString(data)
        files[file.name] = file
    pool = descriptor_pool.DescriptorPool()

    def add(name):
        file = files.pop(name, None)
        if file is None:
            return
        for dependency in file.dependency:
            add(dependency)
        pool.Add(file)

    while files:
        add(next(iter(files)))
    # Its name before and since protobuf 4.22.
    make = getattr(message_factory, "GetMessageClass", None) or message_factory.MessageFactory(pool).GetPrototype
    method = next(m for m in pool.FindServiceByName(SERVICE).methods if m.name == "Health")
    call = channel.unary_unary(f"/{SERVICE}/Health", lambda m: m.SerializeToString(), make(method.output_type).FromString)
    print(call(make(method.input_type)(), timeout=30).version)
    # error_response = 7 for what is not there
    assert 7 in ask(channel, reflection, text(4, "no.such.Service"))


if __name__ == "__main__":
    main()
