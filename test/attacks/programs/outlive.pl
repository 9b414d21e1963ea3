# Everything a program can do to survive its supervisor: sessions, double forks, ignored signals, no parent's death signal.
use strict;
use warnings;
use lib $ENV{ATTACKS};
use Probe;
use POSIX ();

for my $way (1 .. 3) {
    next if fork;
    POSIX::setsid();
    POSIX::_exit(0) if $way > 1 && fork;
    $SIG{$_} = "IGNORE" for grep { !/^(KILL|STOP|CHLD|NUM\d+|RTMIN|RTMAX|CLD)$/ && !/^__/ } keys %SIG;
    call("prctl", 1, 0, 0, 0, 0);    # PR_SET_PDEATHSIG
    call("prctl", 36, 1, 0, 0, 0) if $way > 2;    # PR_SET_CHILD_SUBREAPER
    chdir "/";
    exec "/usr/bin/sleep", 86500 + $way;
}
report("kill init", kill(9, 1) ? "ok" : failure());
report("kill everybody", do { local $SIG{TERM} = "IGNORE"; my $pid = fork; if ($pid == 0) { kill 9, -1; POSIX::_exit(0) } waitpid $pid, 0; "tried" }) if $ENV{EVERYBODY};
report("ready", "ok");
sleep 86500;
