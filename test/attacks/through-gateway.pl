#!/usr/bin/perl
# Stands where `openshell sandbox run` would, with the same arguments: the program runs in a sandbox of a gateway, which was started before.
# Standard streams and exit code are the program's; the event log of the sandbox follows on standard error.
use strict;
use warnings;
use IO::Handle;

my ($binary, @words) = @ARGV;
my $state = "$ENV{XDG_STATE_HOME}/openshell/sandboxes";
my $name = "attack-$$";
my @create;
while (@words) {
  my $word = shift @words;
  last if $word eq "--";
  my $value = shift @words;
  push @create, $word, $value unless $word eq "--sandbox-name";
}

my $created = capture($binary, "sandbox", "create", "--name", $name, "-o", "json", @create);
my $code = $? >> 8;
my ($id) = $created =~ /"id": ?"([0-9a-f-]+)"/;
if (defined $id && $code == 0) {
  my $status = system $binary, "sandbox", "exec", "-n", $name, "--no-tty", "--", @words;
  $code = $status >> 8;
}
if (defined $id) {
  print STDERR capture($binary, "sandbox", "get", $name);
  # The log is complete when the supervisor has ended.
  capture($binary, "sandbox", "stop", $name);
  print STDERR map { slurp($_) } glob "$state/$id/log/openshell.*.log";
}
capture($binary, "sandbox", "delete", $name) if $created ne "" || $code == 1;
drain(*STDERR);
exit $code;

# Returns when the other end of a pipe has read everything: what is left in it when its writer ends may be given up.
sub drain {
  my ($pipe) = @_;
  $pipe->flush;
  for (1 .. 1000) {
    my $left = pack "i", 0;
    return if !ioctl($pipe, 0x541b, $left) || unpack("i", $left) == 0;    # FIONREAD
    select undef, undef, undef, 0.01;
  }
}

sub capture {
  open my $out, "-|", @_ or die "$_[0]: $!";
  local $/;
  my $text = <$out>;
  close $out;
  return $text // "";
}

sub slurp {
  open my $in, "<", shift or return "";
  local $/;
  return <$in>;
}
