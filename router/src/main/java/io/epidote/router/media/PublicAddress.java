package io.epidote.router.media;

import java.net.Inet4Address;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.util.List;

/**
 * Which addresses are of the public internet. What is not must not be reached on a client's behalf:
 * it would be a way around a firewall (server-side request forgery). After IANA's registries of
 * special-purpose addresses, and RFC 6890.
 */
final class PublicAddress {
  private record Block(int address, int prefix) {
    boolean has(int other) {
      return (address ^ other) >>> (32 - prefix) == 0;
    }
  }

  private static final List<Block> SPECIAL =
      List.of(
          block(0, 0, 0, 0, 8),
          block(10, 0, 0, 0, 8),
          block(100, 64, 0, 0, 10),
          block(127, 0, 0, 0, 8),
          block(169, 254, 0, 0, 16),
          block(172, 16, 0, 0, 12),
          block(192, 0, 0, 0, 24),
          block(192, 0, 2, 0, 24),
          block(192, 88, 99, 0, 24),
          block(192, 168, 0, 0, 16),
          block(198, 18, 0, 0, 15),
          block(198, 51, 100, 0, 24),
          block(203, 0, 113, 0, 24),
          block(224, 0, 0, 0, 4),
          block(240, 0, 0, 0, 4));

  private PublicAddress() {}

  private static Block block(int a, int b, int c, int d, int prefix) {
    return new Block(a << 24 | b << 16 | c << 8 | d, prefix);
  }

  static boolean is(InetAddress address) {
    return switch (address) {
      case Inet4Address four -> isFour(four.getAddress(), 0);
      case Inet6Address six -> isSix(six.getAddress());
      default -> false;
    };
  }

  private static boolean isFour(byte[] bytes, int from) {
    int value =
        (bytes[from] & 0xFF) << 24
            | (bytes[from + 1] & 0xFF) << 16
            | (bytes[from + 2] & 0xFF) << 8
            | (bytes[from + 3] & 0xFF);
    return SPECIAL.stream().noneMatch(block -> block.has(value));
  }

  private static boolean isSix(byte[] bytes) {
    int first = (bytes[0] & 0xFF) << 8 | (bytes[1] & 0xFF);
    int second = (bytes[2] & 0xFF) << 8 | (bytes[3] & 0xFF);
    // Only 2000::/3 is given out. Within it, what carries another address is not looked through.
    boolean global = (first & 0xE000) == 0x2000;
    boolean tunnel = first == 0x2002 || (first == 0x2001 && second == 0);
    boolean special = (first == 0x2001 && second < 0x0200) || (first == 0x2001 && second == 0x0DB8);
    boolean documentation = first == 0x3FFF && second < 0x1000;
    return global && !tunnel && !special && !documentation;
  }
}
