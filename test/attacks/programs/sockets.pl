# Unix sockets of the host, open to everybody: each path given, and each abstract name (with @).
use strict;
use warnings;
use Socket;

$| = 1;
my @servers;
for my $path (@ARGV) {
    my $name = $path =~ /^@/ ? "\0" . substr $path, 1 : $path;
    socket(my $server, PF_UNIX, SOCK_STREAM, 0) or die;
    bind($server, pack_sockaddr_un($name)) or die "$path: $!";
    chmod 0777, $path;
    listen $server, 9;
    push @servers, $server;
}
print "up\n";
sleep 3600;
