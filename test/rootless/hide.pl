# Before it connects, a program hides from others of its user, as threat 11 has it; and what it can do to those others.
use strict;
use warnings;
use lib $ENV{ATTACKS};
use Probe;

sub wanted { my ($host) = @_; return ask("CONNECT $host:80 HTTP/1.1\r\nHost: $host:80\r\n\r\n") }

report("own rule", wanted("api.example.com"));
my $PR_SET_DUMPABLE = 4;
attempt("hide", sub { call("prctl", $PR_SET_DUMPABLE, 0) });
report("own rule, hidden", wanted("api.example.com"));
report("no rule, hidden", wanted("other.example.com"));
report("unreadable program", do { my $answer = `/hidden/perl -I$ENV{ATTACKS} $ENV{ATTACKS}/ask.pl api.example.com`; $answer =~ s/\s+$//; $answer });
attempt("signal to the same user outside", sub { kill 0, $ENV{OUTSIDE_PID} });
attempt("signal to our init", sub { kill 9, 1 });
report("limits of our init", system("/usr/bin/prlimit --pid 1 --nofile=10:10 2>/dev/null") ? "refused" : "changed");
report("processes of the same user", scalar grep { /^\d+$/ && $_ != $$ } do { opendir my $d, "/proc"; readdir $d });
report("alive", "yes");
