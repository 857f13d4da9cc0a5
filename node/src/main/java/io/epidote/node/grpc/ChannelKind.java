package io.epidote.node.grpc;

/**
 * What a connection is for. Bulk data has connections of its own so that it never delays tokens.
 */
public enum ChannelKind {
  /** Requests, announcements and tokens: small messages whose delay a user sees. */
  CONTROL(1 << 20),
  /** The bytes of media tokens and KV blocks. */
  BULK(4 << 20);

  private final int initialWindow;

  ChannelKind(int initialWindow) {
    this.initialWindow = initialWindow;
  }

  /** Bytes that a sender may have on the way before it hears from the receiver. */
  int initialWindow() {
    return initialWindow;
  }
}
