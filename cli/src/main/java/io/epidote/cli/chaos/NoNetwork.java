package io.epidote.cli.chaos;

/** Sockets as they are: nothing can be done to them. */
public final class NoNetwork implements Network {
  @Override
  public boolean does(FaultKind kind) {
    return false;
  }

  @Override
  public String needs(FaultKind kind) {
    return "the cluster was started without a network that can be disturbed";
  }

  @Override
  public void begin(Fault fault) {
    throw new IllegalStateException(needs(fault.kind()));
  }

  @Override
  public void end(Fault fault) {}
}
