import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Java's HttpClient: Client.java BASE CERTIFICATE sends GET BASE/one and GET BASE/two over one connection. */
public class Client {
    public static void main(String[] arguments) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (FileInputStream file = new FileInputStream(arguments[1])) {
            store.setCertificateEntry("test", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        HttpClient client = HttpClient.newBuilder().sslContext(context).build();
        for (String path : new String[] {"/one", "/two"}) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0] + path))
                .header("Authorization", "Bearer from-java").build();
            if (client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode() != 200) {
                throw new Exception("not 200");
            }
        }
        System.exit(0);
    }
}
