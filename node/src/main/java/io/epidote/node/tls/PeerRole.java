package io.epidote.node.tls;

import java.security.cert.CertificateParsingException;
import java.security.cert.X509Certificate;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What somebody may be in a cluster, by its certificate: the last part of a URI among the subject
 * alternative names, {@code spiffe://ANY-DOMAIN/epidote/ROLE}. A certificate may have several. Host
 * names say nothing about roles: nodes come and go with their addresses.
 */
public enum PeerRole {
  ROUTER,
  NODE,
  /** Who changes adapters and roles. */
  ADMIN;

  /** RFC 5280, 4.2.1.6. */
  private static final int URI_NAME = 6;

  private static final Pattern NAME = Pattern.compile("spiffe://[A-Za-z0-9._-]+/epidote/([a-z]+)");

  /** The roles that a certificate gives; none when it has no such name. */
  static Set<PeerRole> of(X509Certificate certificate) {
    Set<PeerRole> roles = EnumSet.noneOf(PeerRole.class);
    try {
      var names = certificate.getSubjectAlternativeNames();
      if (names != null) {
        for (List<?> name : names) {
          if (name.get(0).equals(URI_NAME)) {
            Matcher matcher = NAME.matcher(String.valueOf(name.get(1)));
            for (PeerRole role : values()) {
              if (matcher.matches() && matcher.group(1).equals(role.word())) {
                roles.add(role);
              }
            }
          }
        }
      }
    } catch (CertificateParsingException e) {
      // A name that cannot be read gives no role.
    }
    return roles;
  }

  String word() {
    return name().toLowerCase(Locale.ROOT);
  }
}
