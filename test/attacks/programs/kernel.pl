# The kernel's surface: everything that could lead out of the box or into another process.
use strict;
use warnings;
use lib $ENV{ATTACKS};
use Probe;
use Fcntl;
use POSIX ();

my ($CLONE_NEWUSER, $CLONE_NEWNET, $CLONE_NEWNS, $CLONE_NEWPID) = (0x10000000, 0x40000000, 0x00020000, 0x20000000);

# In a child, because some of these would change this process.
sub child {
    my ($code) = @_;
    pipe(my $reader, my $writer);
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        $! = 0;
        my $good = eval { $code->() };
        print $writer $good ? "ok" : Probe::failure();
        close $writer;
        POSIX::_exit(0);
    }
    close $writer;
    my $line = <$reader> // "no answer";
    waitpid $pid, 0;
    return $line;
}

my $page = "\0" x 4096;
my $target = fork;
if ($target == 0) { sleep 60; POSIX::_exit(0) }

report("unshare user", child(sub { call("unshare", $CLONE_NEWUSER) }));
report("unshare net", child(sub { call("unshare", $CLONE_NEWNET) }));
report("unshare mount", child(sub { call("unshare", $CLONE_NEWNS) }));
report("unshare pid", child(sub { call("unshare", $CLONE_NEWPID) }));
report("unshare user, high bits set", child(sub { call("unshare", $CLONE_NEWUSER | 1 << 40) }));
report("clone into a user namespace", child(sub {
    my $pid = call("clone", $CLONE_NEWUSER | 17) or return;
    POSIX::_exit(0) if $pid eq "0 but true";
    waitpid $pid, 0;
    return 1;
}));
report("clone3", child(sub {
    my $pid = call("clone3", pack("Q4 Q7", 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0), 88) or return;
    POSIX::_exit(0) if $pid eq "0 but true";
    waitpid $pid, 0;
    return 1;
}));
report("setns", child(sub { open my $f, "<", "/proc/self/ns/net" or return; call("setns", fileno $f, 0) }));
report("mount tmpfs", child(sub { call("mount", "none", "/tmp", "tmpfs", 0, 0) }));
report("remount root writable", child(sub { call("mount", "none", "/", "", 0x20 | 0x1000, 0) }));
report("bind over /etc", child(sub { call("mount", "/tmp", "/etc", "", 0x1000, 0) }));
report("umount /proc/1", child(sub { call("umount2", "/proc/1", 2) }));
report("pivot_root", child(sub { call("pivot_root", "/tmp", "/tmp") }));
report("chroot", child(sub { call("chroot", "/tmp") }));
report("fsopen", child(sub { call("fsopen", "tmpfs", 0) }));
report("open_tree", child(sub { call("open_tree", -100, "/usr", 1) }));
report("mount_setattr", child(sub { call("mount_setattr", -100, "/usr", 0, "\0" x 32, 32) }));

report("ptrace attach", child(sub { call("ptrace", 16, $target, 0, 0) }));
report("ptrace traceme", child(sub { call("ptrace", 0, 0, 0, 0) }));
my $vector = pack "QQ", address_of($page), 8;
report("process_vm_readv", child(sub { call("process_vm_readv", $target, $vector, 1, $vector, 1, 0) }));
report("process_vm_writev", child(sub { call("process_vm_writev", $target, $vector, 1, $vector, 1, 0) }));
report("pidfd_getfd", child(sub { my $fd = call("pidfd_open", $target, 0) or return; call("pidfd_getfd", $fd, 0, 0) }));
report("kcmp", child(sub { call("kcmp", $$, $target, 0, 0, 0) }));
report("write /proc/PID/mem", child(sub { open my $f, "+<", "/proc/$target/mem" or return; 1 }));
report("write /proc/self/mem", child(sub { open my $f, "+<", "/proc/self/mem" or return; 1 }));
report("prctl PR_SET_MM_MAP_SIZE", child(sub { call("prctl", 35, 15, address_of($page), 0, 0) }));
report("prctl PR_SET_MM_EXE_FILE", child(sub { open my $f, "<", "/usr/bin/cat" or return; call("prctl", 35, 13, fileno $f, 0, 0) }));
report("prctl PR_SET_MM, high bits set", child(sub { call("prctl", 35 | 1 << 32, 15, address_of($page), 0, 0) }));

report("io_uring_setup", child(sub { call("io_uring_setup", 8, "\0" x 120) }));
report("userfaultfd", child(sub { call("userfaultfd", 1) }));
report("bpf", child(sub { call("bpf", 0, "\0" x 128, 128) }));
report("perf_event_open", child(sub { call("perf_event_open", "\0" x 128, 0, -1, -1, 0) }));
report("keyctl", child(sub { call("keyctl", 0, -3, 0) }));
report("add a filter", child(sub { call("seccomp", 1, 0, "\0" x 16) }));
report("seccomp listener", child(sub { call("seccomp", 1, 8, "\0" x 16) }));
report("personality READ_IMPLIES_EXEC", child(sub { call("personality", 0x0400000) }));
report("open_by_handle_at", child(sub { call("open_by_handle_at", -100, pack("Ii", 8, 1) . "\0" x 8, 0) }));

report("memfd_create", child(sub { call("memfd_create", "x", 0) }));
report("memfd exec", child(sub {
    my $fd = call("memfd_create", "x", 0) or return;
    system("cp /bin/true /proc/self/fd/$fd") == 0 or return;
    return 1;
}));
report("execveat of a descriptor", child(sub {
    open my $f, "<", "/bin/true" or return;
    my $list = pack "Q", 0;
    return call("execveat", fileno $f, "", $list, $list, 0x1000);
}));

for my $entry (["TIOCSTI", 0x5412], ["TIOCLINUX", 0x541c], ["TIOCSTI, high bits set", 0x5412 | 1 << 32]) {
    report("ioctl $entry->[0]", child(sub { call("ioctl", 0, $entry->[1], "x") }));
}

my %sockets = (
    "TCP" => [2, 1, 0], "UDP" => [2, 2, 0], "TCP6" => [10, 1, 0], "UDP6" => [10, 2, 0], "UNIX" => [1, 1, 0], "NETLINK_ROUTE" => [16, 3, 0],
    "raw ICMP" => [2, 3, 1], "raw IP" => [2, 3, 255], "ping" => [2, 2, 1], "raw ICMPv6" => [10, 3, 58], "packet" => [17, 3, 0x0300], "packet datagram" => [17, 2, 0x0300],
    "NETLINK_SOCK_DIAG" => [16, 3, 4], "NETLINK_GENERIC" => [16, 3, 16], "NETLINK_NETFILTER" => [16, 3, 12], "NETLINK_KOBJECT_UEVENT" => [16, 3, 15], "NETLINK_AUDIT" => [16, 3, 9], "vsock" => [40, 1, 0],
    "alg" => [38, 5, 0], "bluetooth" => [31, 3, 1], "xdp" => [44, 3, 0], "SCTP" => [2, 1, 132], "MPTCP" => [2, 1, 262],
    "UDP-Lite" => [2, 2, 136], "DCCP" => [2, 6, 33], "SMC" => [43, 1, 0], "key" => [15, 3, 2], "x25" => [9, 5, 0],
);
report("socket $_", child(sub { call("socket", @{ $sockets{$_} }) })) for sort keys %sockets;

report("x32 getpid", child(sub { call("getpid_x32") }));
report("own uid stays", child(sub { call("setresuid", 0, 0, 0) }));
report("capset", child(sub { call("capset", pack("LL", 0x20080522, 0), pack("L6", (0xffffffff) x 6)) }));
report("mknod of a disk", child(sub { call("mknodat", -100, "/tmp/disk-$$", 0060000 | 0600, 0xfe00) }));
report("no_new_privs", do { open my $f, "<", "/proc/self/status"; (grep { /^NoNewPrivs:\s+1/ } <$f>) ? "on" : "off" });

my $tools = $ENV{TOOLS};
report("set-user-id program", `$tools/perl -e 'print \$>' 2>/dev/null` eq "0" ? "root" : "uid of the caller");
report("set-user-id file of one's own", do {
    system "cp", "/usr/bin/perl", "/tmp/setuid-$$";
    chmod 06755, "/tmp/setuid-$$";
    my $id = `/tmp/setuid-$$ -e 'print \$>' 2>/dev/null`;
    unlink "/tmp/setuid-$$";
    $id eq "0" ? "root" : "uid of the caller";
});
report("int 0x80", do {
    system "$tools/other-abi";
    $? >> 8 == 7 ? "ran" : $? & 127 ? "signal " . ($? & 127) : "exit " . ($? >> 8);
});
report("account", getpwuid($>) // "none");
report("core dumps", do { open my $f, "<", "/proc/self/limits"; my ($line) = grep { /core file/ } <$f>; $line =~ /(\d+|unlimited)\s+(\d+|unlimited)/; "$1 $2" });
kill 9, $target;
