# Who is behind a connection: every way to look like a program that one is not.
use strict;
use warnings;
no warnings "exec";
use lib $ENV{ATTACKS};
use Probe;
use Fcntl;
use POSIX ();
use Socket;

$^F = 255;    # descriptors survive exec
my $ask = "$ENV{ATTACKS}/ask.pl";
my $perl = "/usr/bin/perl";
my $tries = $ENV{TRIES} // 1000;

sub connect_to { my ($host) = @_; return "CONNECT $host:80 HTTP/1.1\r\nHost: $host:80\r\n\r\n" }

# First line that a command prints.
sub says {
    my (@command) = @_;
    my $pid = open(my $output, "-|") // return "fork: $!";
    if ($pid == 0) {
        close STDERR;
        my $program = ref $command[0] ? shift(@command)->[0] : $command[0];
        exec {$program} @command or print "exec: ", Probe::failure(), "\n";
        POSIX::_exit(1);
    }
    my $line = <$output> // "nothing";
    close $output;
    chomp $line;
    return $line;
}

# `result xN` of many tries, in order of frequency.
sub tally {
    my ($count, $code) = @_;
    my %seen;
    $seen{ $code->() }++ for 1 .. $count;
    return join ", ", map { "$_ x$seen{$_}" } sort { $seen{$b} <=> $seen{$a} } keys %seen;
}

report("own rule", ask(connect_to("api.example.com")));
report("another program's rule", ask(connect_to("other.example.com")));
report("no rule at all", ask(connect_to("nowhere.example.com")));

# Connect, send, become an allowed program, which holds the socket while the supervisor looks.
report("exec an allowed program after sending", tally($tries, sub {
    pipe(my $reader, my $writer);
    my $pid = fork;
    if ($pid == 0) {
        my $socket = proxy() or POSIX::_exit(1);
        send_all($socket, connect_to("other.example.com"));
        POSIX::dup2(fileno $socket, 0);
        POSIX::dup2(fileno $writer, 1);
        close $_ for $socket, $writer, $reader;
        exec "/usr/bin/cat";
        POSIX::_exit(1);
    }
    close $writer;
    local $/;
    my $text = <$reader>;
    waitpid $pid, 0;
    return Probe::status_of($text);
}));

# Connect, then an allowed program sends: nobody else holds the socket any more.
report("an allowed program sends", tally(20, sub {
    open my $file, ">", "/tmp/request" or die;
    print $file connect_to("other.example.com");
    close $file;
    my $socket = proxy() or return "no proxy";
    my $pid = fork;
    if ($pid == 0) {
        open STDIN, "<", "/tmp/request";
        POSIX::dup2(fileno $socket, 1);
        exec "/usr/bin/cat";
        POSIX::_exit(1);
    }
    waitpid $pid, 0;
    return Probe::status_of(Probe::answer($socket));
}));

# The descriptor waits in the queue of a Unix socket whose ends only an allowed program holds.
report("descriptor parked in a queue", tally(20, sub {
    socketpair(my $near, my $far, PF_UNIX, SOCK_STREAM, 0);
    my $pid = fork;
    if ($pid == 0) {
        my $socket = proxy() or POSIX::_exit(1);
        send_descriptor($near, fileno $socket) or POSIX::_exit(1);
        send_all($socket, connect_to("other.example.com"));
        close $socket;
        close $near;
        close $far;
        exec "/usr/bin/sleep", "0";
        POSIX::_exit(1);
    }
    waitpid $pid, 0;
    my $descriptor = receive_descriptor($far) // return "no descriptor";
    open my $socket, "+<&=", $descriptor;
    return Probe::status_of(Probe::answer($socket));
}));

# A connected socket handed to a program that may go there: the one that connected counts.
{
    my $socket = proxy();
    report("socket passed to an allowed program", says("/sandbox/tool", $ask, "cdn.example.net", fileno $socket));
}
# And the other way round: a connection of an allowed program is that program's, whoever uses it.
report("bash itself", says("/usr/bin/bash", "-c", 'exec 3<>/dev/tcp/10.200.0.1/3128; printf "CONNECT family.example.com:80 HTTP/1.1\r\nHost: family.example.com:80\r\n\r\n" >&3; read -r line <&3; echo "$line"'));
report("socket of an allowed program used by another", says("/usr/bin/bash", "-c", "exec 3<>/dev/tcp/10.200.0.1/3128; exec $perl $ask family.example.com 3"));

# Two programs call connect on one socket.
report("two programs connect one socket", do {
    my $socket = proxy();
    my $fd = fileno $socket;
    says("/sandbox/tool", "-MSocket", "-e", "\$^F = 255; open S, '+<&=', $fd; connect S, pack_sockaddr_in(3128, inet_aton('10.200.0.1')); exec '$perl', '$ask', 'cdn.example.net', $fd");
});
report("connect refused, then by an allowed program", do {
    socket(my $socket, PF_INET, SOCK_STREAM, 0);
    connect($socket, pack_sockaddr_in(9, inet_aton("127.0.0.1")));
    my $fd = fileno $socket;
    says("/sandbox/tool", "-MSocket", "-e", "\$^F = 255; open S, '+<&=', $fd; connect S, pack_sockaddr_in(3128, inet_aton('10.200.0.1')); exec '$perl', '$ask', 'cdn.example.net', $fd");
});

# Names.
report("argv[0] of an allowed program", says([$perl], "/usr/bin/cat", $ask, "other.example.com"));
report("process name of an allowed program", says($perl, "-e", "\$0 = '/usr/bin/cat'; \@ARGV = ('other.example.com'); do '$ask'"));
open my $script, ">", "/sandbox/script" or die;
print $script "#!$perl\n\@ARGV = ('script.example.com'); do '$ask';\n";
close $script;
chmod 0755, "/sandbox/script";
report("script with an allowed path", says("/sandbox/script"));
symlink $perl, "/sandbox/link";
report("link with an allowed path to another program", says("/sandbox/link", $ask, "link.example.com"));
symlink "/sandbox/tool", "/sandbox/alias";
report("link to an allowed program", says("/sandbox/alias", $ask, "cdn.example.net"));
link "/sandbox/tool", "/sandbox/hard" or report("link failed", Probe::failure());
report("hard link to an allowed program", says("/sandbox/hard", $ask, "cdn.example.net"));
system "cp", "/sandbox/tool", "/sandbox/copy";
report("copy of an allowed program", says("/sandbox/copy", $ask, "cdn.example.net"));
report("hard link to a program of the system", link("/usr/bin/cat", "/sandbox/cat") ? "ok" : Probe::failure());
report("loader runs an allowed program", says(glob("/lib64/ld-linux-*.so.2 /lib/ld-linux-*.so.1"), "/sandbox/tool", $ask, "cdn.example.net"));
system "cp", "/sandbox/tool", "/sandbox/tool (deleted)";
report("file called (deleted)", says("/sandbox/tool (deleted)", $ask, "cdn.example.net"));
system "cp", "/sandbox/tool", "/sandbox/gone";
report("program whose file is gone", says("/sandbox/gone", "-e", "unlink '/sandbox/gone'; \@ARGV = ('gone.example.com'); do '$ask'"));
report("program called **", do { mkdir "/sandbox/**"; system "cp", "/sandbox/tool", "/sandbox/**/tool"; says("/sandbox/**/tool", $ask, "cdn.example.net") });

# Patterns.
system "mkdir -p /sandbox/flat/sub /sandbox/deep/a/b && cp /sandbox/tool /sandbox/flat && cp /sandbox/tool /sandbox/flat/sub && cp /sandbox/tool /sandbox/deep/a/b";
report("one star, same directory", says("/sandbox/flat/tool", $ask, "flat.example.com"));
report("one star, below", says("/sandbox/flat/sub/tool", $ask, "flat.example.com"));
report("two stars, deep below", says("/sandbox/deep/a/b/tool", $ask, "deep.example.com"));
report("two stars, elsewhere", says("/sandbox/tool", $ask, "deep.example.com"));
report("any program", says($perl, $ask, "any.example.com"));
report("any program, another host", says($perl, $ask, "nowhere.example.com"));

# Whoever controls the environment of an allowed program acts as it.
open my $module, ">", "/sandbox/Evil.pm" or die;
print $module "package Evil; \@ARGV = ('cdn.example.net'); do '$ask'; exit; 1;\n";
close $module;
report("module loaded into an allowed program", do { local ($ENV{PERL5LIB}, $ENV{PERL5OPT}) = ("/sandbox", "-MEvil"); says("/sandbox/tool", "-e", "1") });
report("library loaded into an allowed program", do { local $ENV{LD_PRELOAD} = $ENV{PRELOAD}; says("/usr/bin/cat", "/dev/null") }) if $ENV{PRELOAD};

# Ancestors.
report("child of an allowed program", says("/usr/bin/bash", "-c", "$perl $ask family.example.com; true"));
report("grandchild of an allowed program", says("/usr/bin/bash", "-c", "/usr/bin/env $perl -e 'system \"$perl\", \"$ask\", \"family.example.com\"'; true"));
report("orphan of an allowed program", do {
    # The middle process ends first; the orphan asks when the pipe that it held is closed.
    says("/usr/bin/bash", "-c", qq{$perl -e 'pipe R, W; if (fork == 0) { if (fork == 0) { close W; <R>; exec "$perl", "$ask", "family.example.com" } exit } wait; exit'; sleep 0.2; true});
});
# The child is there first; then its parent becomes an allowed program.
for my $host ("family.example.com", "self.example.com") {
    pipe(my $reader, my $writer);
    pipe(my $ready, my $go);
    my $pid = fork;
    if ($pid == 0) {
        close $_ for $reader, $ready;
        my $parent = $$;
        if (fork == 0) {
            close $go;
            1 until readlink("/proc/$parent/exe") =~ /bash/;
            POSIX::dup2(fileno $writer, 1);
            exec $perl, $ask, $host;
        }
        exec "/usr/bin/bash", "-c", "sleep 5; true" or POSIX::_exit(1);
    }
    close $_ for $writer, $ready;
    my $line = <$reader> // "nothing";
    chomp $line;
    report("parent becomes an allowed program, $host", $line);
    kill 9, $pid;
    waitpid $pid, 0;
}

# Trust on first use.
sub tool { return says("/sandbox/tool", $ask, "cdn.example.net") }
report("first use", tool());
report("write while it runs", do {
    my $pid = open(my $running, "-|", "/sandbox/tool", "-e", '$| = 1; print "up\n"; sleep 9');
    <$running>;
    my $result = open(my $file, "+<", "/sandbox/tool") ? "ok" : Probe::failure();
    kill 9, $pid;
    $result;
});
report("run while it is mapped writable", do {
    open my $file, "+<", "/sandbox/tool" or die;
    my $address = call("mmap", 0, 4096, 3, 1, fileno $file, 0) or die;
    close $file;
    my $result = tool();
    call("munmap", $address, 4096) or die;
    $result;
});
system "cp /sandbox/tool /sandbox/original; cp /sandbox/tool /sandbox/changed; echo x >> /sandbox/changed";
system "cp --remove-destination /sandbox/changed /sandbox/tool";
report("replaced after first use", tool());
system "cp /sandbox/original /sandbox/tool";
report("original content again", tool());
system "cp -p /sandbox/tool /sandbox/dated; cat /sandbox/changed > /sandbox/tool; touch -r /sandbox/dated /sandbox/tool";
report("overwritten in place, with its old date", tool());
rename "/sandbox/original", "/sandbox/tool";
report("renamed onto it", tool());
unlink "/sandbox/tool";
symlink $perl, "/sandbox/tool";
report("replaced by a link to a program of the system", tool());

# Early close: the question about the connection must not be answered by another socket on that port.
report("close early, with a listener on the port", do {
    my %bad;
    for my $try (1 .. 200) {
        my $port = 20_000 + $try;
        socket(my $listener, PF_INET, SOCK_STREAM, 0);
        setsockopt($listener, SOL_SOCKET, SO_REUSEADDR, 1);
        bind($listener, pack_sockaddr_in($port, INADDR_ANY)) or next;
        socket(my $socket, PF_INET, SOCK_STREAM, 0);
        setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);
        bind($socket, pack_sockaddr_in($port, INADDR_ANY)) or next;
        listen($listener, 1);
        connect($socket, pack_sockaddr_in(3128, inet_aton("10.200.0.1"))) or next;
        setsockopt($socket, SOL_SOCKET, SO_LINGER, pack "ii", 1, 0) if $try % 2;
        send_all($socket, "GET http://other.example.com/early HTTP/1.1\r\nHost: other.example.com\r\n\r\n");
        close $socket;
        $bad{tried}++;
    }
    "tried $bad{tried}";
});

report("IPv4 through an IPv6 socket", do {
    socket(my $socket, PF_INET6, SOCK_STREAM, 0);
    connect($socket, pack_sockaddr_in6(3128, Socket::inet_pton(AF_INET6, "::ffff:10.200.0.1"))) or die "$!";
    send_all($socket, connect_to("api.example.com"));
    Probe::status_of(Probe::answer($socket));
});
report("own rule at the end", ask(connect_to("api.example.com")));
