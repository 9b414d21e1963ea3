# Does what each line of standard input says: `ask NAME HOST`, `write NAME PATH TEXT` (with \n for a new line), `replace NAME PATH TARGET`.
use strict;
use warnings;
use lib $ENV{ATTACKS};
use Probe;

report("started", "ok");
while (my $line = <STDIN>) {
    chomp $line;
    my ($what, $name, $path, $text) = split /\t/, $line, 4;
    if ($what eq "ask") {
        report($name, ask("CONNECT $path:80 HTTP/1.1\r\nHost: $path:80\r\n\r\n"));
    } elsif ($what eq "write") {
        $text =~ s/\\n/\n/g;
        attempt($name, sub { open my $file, ">", $path or return; print $file $text; close $file });
    } elsif ($what eq "replace") {
        system "rm", "-rf", $path;
        attempt($name, sub { symlink $text, $path });
    }
}
