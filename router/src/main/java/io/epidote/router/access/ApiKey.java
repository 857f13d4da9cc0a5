package io.epidote.router.access;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.util.Base64;
import java.util.HexFormat;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A key as the file of keys has it. Clients have {@code epk_ID_SECRET}, of which the secret is 32
 * random bytes: of as many bits, a plain digest cannot be tried back.
 *
 * @param id names the key; no secret
 * @param tenant whose requests come with it
 * @param sha256 of the whole key, hexadecimal
 * @param created day, as 2026-11-27
 */
record ApiKey(String id, String tenant, String sha256, String created) {
  private static final int SECRET_BYTES = 32;
  private static final int ID_BYTES = 6;
  private static final Pattern FORM = Pattern.compile("epk_([0-9a-f]{12})_[A-Za-z0-9_-]{43}");

  /** A new one, as its client has it. */
  static String random() {
    SecureRandom random = new SecureRandom();
    byte[] id = new byte[ID_BYTES];
    byte[] secret = new byte[SECRET_BYTES];
    random.nextBytes(id);
    random.nextBytes(secret);
    return "epk_%s_%s"
        .formatted(
            HexFormat.of().formatHex(id),
            Base64.getUrlEncoder().withoutPadding().encodeToString(secret));
  }

  /** The part of a client's key that names it; empty when it has not the form of one. */
  static Optional<String> idOf(String key) {
    Matcher matcher = FORM.matcher(key);
    return matcher.matches() ? Optional.of(matcher.group(1)) : Optional.empty();
  }

  static byte[] digest(String key) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(key.getBytes(StandardCharsets.UTF_8));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("Every JDK has SHA-256", e);
    }
  }

  /** Takes as long whatever the key is. */
  boolean isOf(String key) {
    return MessageDigest.isEqual(digest(key), HexFormat.of().parseHex(sha256));
  }
}
