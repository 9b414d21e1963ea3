# The proxy's wire: every authority and head that two readers could read differently.
use strict;
use warnings;
use lib $ENV{ATTACKS};
use Probe;

ask_list($ENV{REQUESTS});

# A second request behind the first, in one write and in two.
for my $gap (0, 1) {
    my $socket = proxy();
    my @requests = map { "GET http://api.example.com/$_ HTTP/1.1\r\nHost: api.example.com\r\n\r\n" } "first-$gap", "smuggled-$gap";
    if ($gap) { send_all($socket, $_) for @requests } else { send_all($socket, join "", @requests) }
    my $text = "";
    eval { local $SIG{ALRM} = sub { die }; alarm 8; 1 while sysread $socket, $text, 65536, length $text; alarm 0 };
    alarm 0;
    report("pipelined $gap", scalar(() = $text =~ m{^HTTP/1\.1 200}mg) . " answers");
}

# Bytes behind a refused CONNECT are not a request of their own.
{
    my $socket = proxy();
    send_all($socket, "CONNECT nowhere.example.com:80 HTTP/1.1\r\nHost: nowhere.example.com:80\r\n\r\nGET http://api.example.com/behind HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
    my $text = "";
    eval { local $SIG{ALRM} = sub { die }; alarm 8; 1 while sysread $socket, $text, 65536, length $text; alarm 0 };
    alarm 0;
    report("behind a refusal", scalar(() = $text =~ m{^HTTP/1\.1 \d}mg) . " answers");
}

# Byte by byte.
{
    my $socket = proxy();
    send_all($socket, $_) for split //, "CONNECT api.example.com:80 HTTP/1.1\r\nHost: api.example.com:80\r\n\r\n";
    report("byte by byte", Probe::status_of(Probe::answer($socket)));
}

# A head that never ends, one byte now and then, keeps nobody else from being served.
{
    my @slow = map { my $s = proxy(); send_all($s, "CONNECT api.exa"); $s } 1 .. 50;
    report("others beside slow heads", ask("CONNECT api.example.com:80 HTTP/1.1\r\nHost: api.example.com:80\r\n\r\n"));
    my $text = "";
    eval { local $SIG{ALRM} = sub { die }; alarm 20; 1 while sysread $slow[0], $text, 65536, length $text; alarm 0 };
    alarm 0;
    report("slow head", Probe::status_of($text || "closed"));
}

# Far more than a head may have, without its end.
report("huge head", ask("X" x 4_000_000));
