# As much as possible of everything, and what it does to the sandbox's own way out.
use strict;
use warnings;
use lib $ENV{ATTACKS};
use Probe;
use POSIX ();

my $allowed = "CONNECT api.example.com:80 HTTP/1.1\r\nHost: api.example.com:80\r\n\r\n";
my $denied = "CONNECT other.example.com:80 HTTP/1.1\r\nHost: other.example.com:80\r\n\r\n";
my $idle = $ENV{IDLE} // 600;

if ($ENV{WAIT}) { report("waiting", "ok"); scalar <STDIN> }
report("before", ask($allowed));

# Connections that say nothing: some are looked at, some wait, the rest are refused; none of them is let through.
{
    my @sockets = grep { defined } map { proxy() } 1 .. $idle;
    report("idle connections", scalar @sockets);
    my %answers;
    for my $socket (@sockets) { send_all($socket, $denied) }
    $answers{ Probe::status_of(Probe::answer($_)) }++ for @sockets;
    my @good = grep { /^2/ } keys %answers;
    report("let through among idle ones", scalar @good);
    report("answers", join ", ", map { "$_ x$answers{$_}" } sort keys %answers);
}
report("after idle connections", ask($allowed));

# Tunnels that stay open.
{
    my @tunnels;
    for (1 .. $ENV{TUNNELS} // 300) {
        my $socket = proxy() or last;
        send_all($socket, $allowed);
        last unless Probe::status_of(Probe::answer($socket)) eq "200";
        push @tunnels, $socket;
    }
    report("tunnels", scalar @tunnels);
    report("denied beside tunnels", ask($denied));
}
report("after tunnels", ask($allowed));

# Descriptors.
{
    my @files;
    while (open my $file, "<", "/dev/null") { push @files, $file; last if @files > 5000 }
    report("open files", scalar @files);
}
report("after open files", ask($allowed));

# A program of 8 TiB that is allowed by its path.
if ($ENV{SPARSE}) {
    system "cp", "/usr/bin/perl", "/sandbox/huge";
    my $size = 0;
    for my $tebi (8, 1, 0.001) { $size = int($tebi * 2**40); truncate("/sandbox/huge", $size) and last }
    report("size of the huge program", $size > 2**29 ? "huge" : "small");
    chomp(my $line = `/sandbox/huge $ENV{ATTACKS}/ask.pl cdn.example.net`);
    report("huge program", $line);
    report("after the huge program", ask($allowed));
}

# Processes: as many as there may be, all of them alive at once.
{
    pipe(my $wait, my $go);
    my $count = 0;
    while ($count < 3000) {
        my $pid = fork // last;
        if ($pid == 0) { close $go; sysread $wait, my $byte, 1; POSIX::_exit(0) }
        $count++;
    }
    report("processes", $count);
    report("beside all processes", ask($allowed));
    close $go;
    1 while wait > 0;
}
report("at the end", ask($allowed));
