# What every attack program shares: results as lines of JSON, error names, system calls by name, and the proxy's wire.
package Probe;
use strict;
use warnings;
use Exporter "import";
use Errno;
use Socket;

our @EXPORT = qw(report attempt failure call number address_of proxy send_all answer ask status_of ask_list send_descriptor receive_descriptor);

$| = 1;

my %numbers = map { split /=/ } split /,/, $ENV{SYSCALLS} // "";

sub report {
    my ($name, $result) = @_;
    $result =~ s/([\\"])/\\$1/g;
    $result =~ s/([^\x20-\x7e])/sprintf "\\u%04x", ord $1/ge;
    print qq({"probe":"$name","result":"$result"}\n);
}

# Name of the present errno; of several names for one number the first by alphabet.
sub failure { return (sort grep { $!{$_} } keys %!)[0] // "errno " . ($! + 0) }

# Reports `ok` when the code gives a true value, else the error.
sub attempt {
    my ($name, $code) = @_;
    $! = 0;
    report($name, $code->() ? "ok" : failure());
}

sub number { return $numbers{$_[0]} // die "no number for $_[0]" }

# A system call by name; true unless it failed.
sub call {
    my ($name, @arguments) = @_;
    my $result = syscall(number($name), @arguments, (0) x (6 - @arguments));
    return $result == -1 ? undef : $result || "0 but true";
}

# Where a buffer is in memory.
sub address_of { return unpack "Q", pack "P", $_[0] }

# A connection to the proxy, or undef.
sub proxy {
    socket(my $socket, PF_INET, SOCK_STREAM, 0) or return;
    connect($socket, pack_sockaddr_in(3128, inet_aton("10.200.0.1"))) or return;
    return $socket;
}

sub send_all {
    my ($socket, $bytes) = @_;
    local $SIG{PIPE} = "IGNORE";
    while (length $bytes) {
        my $count = syswrite($socket, $bytes) or return;
        substr($bytes, 0, $count) = "";
    }
    return 1;
}

# Everything until the head is complete and, when a length is told, the body too; nothing more than 8 s.
sub answer {
    my ($socket) = @_;
    my $text = "";
    eval {
        local $SIG{ALRM} = sub { die "timeout\n" };
        alarm 8;
        while (1) {
            last if $text =~ /\r\n\r\n/ && $text !~ /^Content-Length: ([1-9]\d*)\r$/mi;
            last if $text =~ /^Content-Length: (\d+)\r\n.*?\r\n\r\n(.*)/msi && length $2 >= $1;
            last unless sysread $socket, $text, 65536, length $text;
        }
        alarm 0;
    };
    alarm 0;
    return $@ ? "timeout" : $text;
}

# `403 host_not_allowed`, `200`, `closed`, `timeout`.
sub status_of {
    my ($text) = @_;
    return $text eq "timeout" ? "timeout" : "closed" unless $text =~ m{^HTTP/1\.\d (\d+)};
    my $status = $1;
    return $text =~ /"reason":"([a-z_]+)"/ ? "$status $1" : $status;
}

# One request on a connection of its own.
sub ask {
    my ($bytes) = @_;
    my $socket = proxy() or return "no proxy: " . failure();
    send_all($socket, $bytes);
    return status_of(answer($socket));
}

# Asks every line of a file: a name, a tab, a request with its control bytes as \r, \n and \xNN.
sub ask_list {
    my ($path) = @_;
    open my $file, "<", $path or die "$path: $!";
    while (my $line = <$file>) {
        chomp $line;
        my ($name, $request) = split /\t/, $line, 2;
        $request =~ s/\\r/\r/g;
        $request =~ s/\\n/\n/g;
        $request =~ s/\\x([0-9a-f]{2})/chr hex $1/ge;
        report($name, ask($request));
    }
}

# struct msghdr with one byte of data and one SCM_RIGHTS control message.
sub _message {
    my ($data, $control) = @_;
    my $vector = pack "QQ", address_of($$data), length $$data;
    my $message = pack "Q L x4 Q Q Q Q i x4", 0, 0, address_of($vector), 1, address_of($$control), length $$control, 0;
    return ($message, $vector);
}

sub send_descriptor {
    my ($channel, $descriptor) = @_;
    my $data = "x";
    my $control = pack "Q i i i x4", 20, SOL_SOCKET, 1, $descriptor;
    my ($message, $vector) = _message(\$data, \$control);
    return call("sendmsg", fileno $channel, $message, 0);
}

sub receive_descriptor {
    my ($channel) = @_;
    my ($data, $control) = ("\0", "\0" x 24);
    my ($message, $vector) = _message(\$data, \$control);
    call("recvmsg", fileno $channel, $message, 0) or return;
    return (unpack "Q i i i", $control)[3];
}

1;
