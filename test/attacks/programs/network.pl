# Past the proxy: every address, protocol and socket that is not it.
use strict;
use warnings;
use lib $ENV{ATTACKS};
use Probe;
use IO::Handle;
use IO::Select;
use Socket;

# Says whether anything answers: a captured connection may be accepted, but nobody speaks on it.
sub dial {
    my ($family, $address, $port, $bytes) = @_;
    socket(my $socket, $family, SOCK_STREAM, 0) or return failure();
    my $name = $family == AF_INET ? pack_sockaddr_in($port, inet_aton($address)) : pack_sockaddr_in6($port, Socket::inet_pton(AF_INET6, $address));
    local $SIG{ALRM} = sub { die "timeout\n" };
    my $result = eval {
        alarm 5;
        connect($socket, $name) or die failure() . "\n";
        send_all($socket, $bytes // "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n");
        my $text = "";
        my $count = sysread $socket, $text, 100;
        alarm 0;
        $count ? "answered" : "silent";
    };
    alarm 0;
    chomp(my $error = $@);
    return $result // $error;
}

sub datagram {
    my ($family, $address, $port) = @_;
    socket(my $socket, $family, SOCK_DGRAM, 0) or return failure();
    my $name = $family == AF_INET ? pack_sockaddr_in($port, inet_aton($address)) : pack_sockaddr_in6($port, Socket::inet_pton(AF_INET6, $address));
    my $query = pack("n6", 7, 0x0100, 1, 0, 0, 0) . "\x06secret\x07example\x03com\0" . pack("nn", 1, 1);
    send($socket, $query, 0, $name) or return failure();
    IO::Select->new($socket)->can_read(0.3) or return "silent";
    my $text = "";
    return defined(recv $socket, $text, 100, 0) && length $text ? "answered" : "silent";
}

for my $target (split /,/, $ENV{TARGETS}) {
    my ($address, $port) = $target =~ /^(.*)\|(\d+)$/;
    report("connect $address $port", dial($address =~ /:/ ? AF_INET6 : AF_INET, $address, $port));
}
report("UDP $_", datagram(/:/ ? AF_INET6 : AF_INET, $_, 53)) for split /,/, $ENV{RESOLVERS};
report("UDP 123 $_", datagram(AF_INET, $_, 123)) for "93.184.216.34";
report("resolver", gethostbyname("api.example.com") ? "answered" : "silent");

# Data in the first packet.
report("fast open", do {
    socket(my $socket, PF_INET, SOCK_STREAM, 0);
    my $name = pack_sockaddr_in(3128, inet_aton("10.200.0.1"));
    my $text = "CONNECT api.example.com:80 HTTP/1.1\r\nHost: api.example.com:80\r\n\r\n";
    call("sendto", fileno $socket, $text, length $text, 0x20000000, $name, length $name) ? Probe::status_of(Probe::answer($socket)) : failure();
});
# A source address that is not the box's.
report("foreign source address", do {
    socket(my $socket, PF_INET, SOCK_STREAM, 0);
    setsockopt($socket, 0, 15, 1);    # IP_FREEBIND
    my $bound = bind $socket, pack_sockaddr_in(0, inet_aton("93.184.216.99"));
    $socket->blocking(0);
    my $begun = connect($socket, pack_sockaddr_in(3128, inet_aton("10.200.0.1"))) || $!{EINPROGRESS};
    my $ready = $begun && IO::Select->new($socket)->can_write(0.5) && !unpack "i", getsockopt $socket, SOL_SOCKET, SO_ERROR;
    $socket->blocking(1);
    my $text = "CONNECT api.example.com:80 HTTP/1.1\r\nHost: api.example.com:80\r\n\r\n";
    !$bound ? "not bound" : !$ready ? "not connected" : send_all($socket, $text) && Probe::status_of(Probe::answer($socket));
});

# Other proxies than ours, by environment and by flag.
if (-x "/usr/bin/curl") {
    my $other = "http://93.184.216.34:8080";
    my @curl = ("/usr/bin/curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "3");
    my $run = sub { my (@c) = @_; open(my $o, "-|", @c) or return "none"; local $/; my $t = <$o> // ""; close $o; $t =~ /^0*$/ ? "nothing" : $t };
    { local @ENV{qw(http_proxy HTTP_PROXY ALL_PROXY all_proxy)} = ($other) x 4; report("another proxy by environment", $run->(@curl, "http://other.example.com/")) }
    { local @ENV{qw(NO_PROXY no_proxy)} = ("*", "*"); report("no proxy by environment", $run->(@curl, "http://93.184.216.35/")) }
    { local %ENV = (); report("empty environment", $run->(@curl, "http://93.184.216.35/")) }
    report("another proxy by flag", $run->(@curl, "-x", $other, "http://other.example.com/"));
}

# Sockets of the host.
for my $path (split /,/, $ENV{SOCKETS}) {
    my $name = $path =~ /^@/ ? "\0" . substr $path, 1 : $path;
    socket(my $socket, PF_UNIX, SOCK_STREAM, 0);
    report("unix $path", connect($socket, pack_sockaddr_un($name)) ? "connected" : failure());
}

# The box's own loopback is its own.
report("own loopback", do {
    socket(my $server, PF_INET, SOCK_STREAM, 0);
    bind $server, pack_sockaddr_in(0, INADDR_LOOPBACK);
    listen $server, 1;
    my ($port) = unpack_sockaddr_in(getsockname $server);
    my $pid = fork;
    if ($pid == 0) { accept(my $client, $server); print $client "HTTP/1.1 200 OK\r\n\r\n"; close $client; exit }
    my $result = dial(AF_INET, "127.0.0.1", $port);
    kill 9, $pid;
    waitpid $pid, 0;
    $result;
});
