package io.epidote.node.tls;

import java.net.Socket;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.EnumSet;
import java.util.Set;
import java.util.stream.Collectors;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedTrustManager;
import javax.net.ssl.X509TrustManager;

/**
 * Trust of one member in another: its certificate comes from the cluster's authority, and gives the
 * role that is called. It takes the place of host names, which a certificate of a node that moves
 * cannot have.
 */
final class ClusterTrust extends X509ExtendedTrustManager {
  private final X509TrustManager authorities;
  private final Set<PeerRole> servers;

  /**
   * @param servers roles that who is called must have one of
   */
  ClusterTrust(X509TrustManager authorities, Set<PeerRole> servers) {
    this.authorities = authorities;
    this.servers = EnumSet.copyOf(servers);
  }

  @Override
  public void checkServerTrusted(X509Certificate[] chain, String authType)
      throws CertificateException {
    authorities.checkServerTrusted(chain, authType);
    Set<PeerRole> roles = PeerRole.of(chain[0]);
    if (roles.stream().noneMatch(servers::contains)) {
      throw new CertificateException(
          "The certificate of %s gives no role of %s; expected a name as spiffe://DOMAIN/epidote/%s"
              .formatted(
                  chain[0].getSubjectX500Principal().getName(),
                  servers.stream().map(PeerRole::word).sorted().collect(Collectors.joining(" or ")),
                  servers.iterator().next().word()));
    }
  }

  @Override
  public void checkServerTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
      throws CertificateException {
    checkServerTrusted(chain, authType);
  }

  @Override
  public void checkServerTrusted(X509Certificate[] chain, String authType, Socket socket)
      throws CertificateException {
    checkServerTrusted(chain, authType);
  }

  @Override
  public void checkClientTrusted(X509Certificate[] chain, String authType)
      throws CertificateException {
    authorities.checkClientTrusted(chain, authType);
  }

  @Override
  public void checkClientTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
      throws CertificateException {
    checkClientTrusted(chain, authType);
  }

  @Override
  public void checkClientTrusted(X509Certificate[] chain, String authType, Socket socket)
      throws CertificateException {
    checkClientTrusted(chain, authType);
  }

  @Override
  public X509Certificate[] getAcceptedIssuers() {
    return authorities.getAcceptedIssuers();
  }
}
