package io.epidote.node.tls;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.time.Instant;
import java.util.Base64;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/**
 * What {@link TlsFiles} mean.
 *
 * @param own certificate and key; empty for a client that shows none
 * @param trust in certificates of the authorities
 */
record Credentials(Optional<Own> own, X509TrustManager trust) {
  private static final Pattern KEY =
      Pattern.compile("-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\\s]+)-----END PRIVATE KEY-----");

  /**
   * @param chain own certificate first
   */
  record Own(List<X509Certificate> chain, PrivateKey key) {
    Instant expires() {
      return chain.getFirst().getNotAfter().toInstant();
    }

    @Override
    public String toString() {
      return chain.getFirst().getSubjectX500Principal().getName();
    }
  }

  /**
   * @throws InvalidRequest when a file is something else, or key and certificate are not of each
   *     other; never says what stands in the key
   */
  static Credentials parse(TlsFiles.Content content) {
    Optional<Own> own = Optional.empty();
    if (!content.cert().isEmpty()) {
      List<X509Certificate> chain = certificates("--tls-cert", content.cert());
      PrivateKey key = key(content.key());
      if (!belong(key, chain.getFirst())) {
        throw new InvalidRequest(
            "The key of --tls-key is not that of the first certificate of --tls-cert");
      }
      own = Optional.of(new Own(chain, key));
    }
    return new Credentials(own, trust(certificates("--tls-ca", content.ca())));
  }

  private static List<X509Certificate> certificates(String option, String pem) {
    try {
      List<X509Certificate> found =
          CertificateFactory.getInstance("X.509")
              .generateCertificates(
                  new ByteArrayInputStream(pem.getBytes(StandardCharsets.ISO_8859_1)))
              .stream()
              .map(X509Certificate.class::cast)
              .toList();
      if (found.isEmpty()) {
        throw new InvalidRequest(option + " has no certificate; expected one or more in PEM form");
      }
      return found;
    } catch (CertificateException e) {
      throw new InvalidRequest(
          "%s has no certificates (%s); expected one or more in PEM form"
              .formatted(option, e.getMessage()),
          e);
    }
  }

  private static PrivateKey key(String pem) {
    Matcher matcher = KEY.matcher(pem);
    if (matcher.find()) {
      try {
        byte[] encoded = Base64.getMimeDecoder().decode(matcher.group(1));
        for (String algorithm : List.of("EC", "RSA", "EdDSA")) {
          try {
            return KeyFactory.getInstance(algorithm)
                .generatePrivate(new PKCS8EncodedKeySpec(encoded));
          } catch (InvalidKeySpecException e) {
            // Of another algorithm, or none: told below without the key's bytes.
          }
        }
      } catch (GeneralSecurityException | IllegalArgumentException e) {
        // Likewise.
      }
    }
    throw new InvalidRequest(
        "--tls-key has no key that can be read; expected PKCS#8 without a password, as 'openssl pkcs8 -topk8 -nocrypt' writes it, of EC, RSA or Ed25519");
  }

  private static boolean belong(PrivateKey key, X509Certificate certificate) {
    String algorithm =
        switch (key.getAlgorithm()) {
          case "RSA" -> "SHA256withRSA";
          case "EC" -> "SHA256withECDSA";
          default -> "EdDSA";
        };
    byte[] probe = {1, 2, 3};
    try {
      Signature signature = Signature.getInstance(algorithm);
      signature.initSign(key);
      signature.update(probe);
      byte[] signed = signature.sign();
      signature.initVerify(certificate.getPublicKey());
      signature.update(probe);
      return signature.verify(signed);
    } catch (GeneralSecurityException e) {
      return false;
    }
  }

  private static X509TrustManager trust(List<X509Certificate> authorities) {
    try {
      KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
      store.load(null, null);
      for (int i = 0; i < authorities.size(); i++) {
        store.setCertificateEntry("ca-" + i, authorities.get(i));
      }
      TrustManagerFactory factory =
          TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      factory.init(store);
      return (X509TrustManager) factory.getTrustManagers()[0];
    } catch (GeneralSecurityException | java.io.IOException e) {
      throw new InvalidRequest("--tls-ca cannot be used: " + e.getMessage(), e);
    }
  }
}
