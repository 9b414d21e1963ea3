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
  # The programs that had it before leave it non-blocking, and what a slow reader has no room for would be lost.
  STDERR->blocking(1);
  print STDERR map { slurp($_) } glob "$state/$id/log/openshell.*.log";
}
capture($binary, "sandbox", "delete", $name) if $created ne "" || $code == 1;
exit $code;

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
