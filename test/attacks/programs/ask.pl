# One request for a host through the proxy; prints the status. With a descriptor: on that socket, and without connecting.
use strict;
use warnings;
use lib $ENV{ATTACKS};
use Probe;

my ($host, $descriptor) = @ARGV;
my $request = "CONNECT $host:80 HTTP/1.1\r\nHost: $host:80\r\n\r\n";
if (defined $descriptor) {
    open my $socket, "+<&=", $descriptor or die "$!";
    Probe::send_all($socket, $request);
    print Probe::status_of(Probe::answer($socket)), "\n";
} else {
    print Probe::ask($request), "\n";
}
