# A server on the host's own loopback that must never be reached; it says so when it is.
use strict;
use warnings;
use IO::Socket::IP;
use IO::Select;

$| = 1;
my @servers = map { IO::Socket::IP->new(LocalHost => $_->[0], LocalPort => $_->[1], Listen => 9, ReuseAddr => 1, V6Only => 1) || die "$_->[0]: $@" }
    (["0.0.0.0", 80], ["::", 80]);
print "up\n";
my $select = IO::Select->new(@servers);
while (1) {
    for my $server ($select->can_read) {
        my $client = $server->accept or next;
        print "REACHED at ", $client->sockhost, "\n";
        close $client;
    }
}
