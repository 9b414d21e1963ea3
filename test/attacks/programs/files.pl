# Files: what is not listed does not exist, what is read-only stays so, and /proc tells nothing of the host.
use strict;
use warnings;
use lib $ENV{ATTACKS};
use Probe;
use POSIX ();

sub reading { my ($path) = @_; open(my $file, "<", $path) or return failure(); my $text = ""; defined sysread $file, $text, 64 or return failure(); return length $text ? "read" : "empty" }
sub writing { my ($path) = @_; open(my $file, ">", $path) or return failure(); print $file "x"; return close $file ? "ok" : failure() }

report("write $_", writing($_)) for "/usr/attack", "/usr/bin/attack", "/etc/attack", "/attack", "/opt/attack", "/proc/attack", "/dev/attack", "/sandbox/attack", "/tmp/attack";
report("write through a link in the workspace", do { symlink "/usr/bin", "/sandbox/programs"; writing("/sandbox/programs/attack") });
report("write through /proc/self/root", writing("/proc/self/root/usr/bin/attack"));
report("remove a program", unlink("/usr/bin/env") ? "ok" : failure());
report("rename a program", rename("/usr/bin/env", "/usr/bin/other") ? "ok" : failure());
report("read $_", reading($_)) for split /,/, $ENV{OUTSIDE};
report("read through a link", do { my ($first) = split /,/, $ENV{OUTSIDE}; symlink $first, "/sandbox/outside"; reading("/sandbox/outside") });
report("read above the root", reading("/../../../etc/shadow"));

# Our init, and every thread of it by a guessed number.
for my $name ("environ", "mem", "maps", "mountinfo", "mounts", "net/tcp", "net/unix", "cmdline", "status", "fd", "task", "root/etc/shadow", "cwd/etc/shadow", "exe") {
    report("/proc/1/$name", -d "/proc/1/$name" ? (opendir(my $d, "/proc/1/$name") ? "read" : failure()) : reading("/proc/1/$name"));
}
my ($others, $leaks) = (0, 0);
for my $number (1 .. 4096) {
    next if $number == $$ || !-e "/proc/$number/status";
    open my $file, "<", "/proc/$number/status" or next;
    $others++ if grep { /^Uid:\s+0\s/ } <$file>;
    for my $table ("net/tcp", "net/tcp6", "net/unix", "net/udp") {
        open my $sockets, "<", "/proc/$number/$table" or next;
        $leaks++ if grep { /\Q$ENV{HOST_MARK}\E|:1F97 / } <$sockets>;
    }
}
report("processes of root", $others);
report("sockets of the host", $leaks);

report("write /proc/$_", writing("/proc/$_")) for "sys/kernel/core_pattern", "sys/net/ipv4/ip_forward", "sys/kernel/modprobe", "sysrq-trigger", "self/uid_map", "self/oom_score_adj";
report("read /proc/$_", reading("/proc/$_")) for "kcore", "keys", "kmsg", "kallsyms";
report("/proc/kallsyms", do { open my $f, "<", "/proc/kallsyms"; my $line = $f ? <$f> : undef; !$line || $line =~ /^0+ / ? "no addresses" : "addresses" });
report("exists $_", -e $_ ? "yes" : "no") for "/sys", "/run/docker.sock", "/home", "/root", "/boot", "/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/vda", "/dev/net/tun", "/dev/shm";
report("descriptors", join " ", sort grep { /^\d+$/ && $_ > 2 && -e "/proc/self/fd/$_" && (readlink("/proc/self/fd/$_") // "") !~ m{^/proc/|^/attacks/} } do { opendir my $d, "/proc/self/fd"; readdir $d });
report("run from shared memory", do { system "cp", "/usr/bin/true", "/dev/shm/true"; system "/dev/shm/true"; $? == 0 ? "ran" : "refused" });

# Standard output is a file of the host's: no more of it than this descriptor gives.
report("reopen standard output", open(my $again, "+<", "/proc/self/fd/1") ? "ok" : failure());

# What package managers do.
mkdir "/sandbox/$_" for "one", "two";
report("rename between directories", writing("/sandbox/one/file") eq "ok" && rename("/sandbox/one/file", "/sandbox/two/file") ? "ok" : failure());
report("link between directories", link("/sandbox/two/file", "/sandbox/one/link") ? "ok" : failure());
report("lists of packages", do { system "tar -C /sandbox -cf /tmp/t.tar one two && tar -C /tmp -xf /tmp/t.tar"; $? == 0 ? "ok" : "failed" });
