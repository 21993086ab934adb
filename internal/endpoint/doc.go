// Package endpoint reaches services over HTTP and HTTPS: object stores, the APIs
// of clouds, token services and container registries. It knows which
// certificates to trust, obeys the proxy variables of the environment, ends
// connections that stand still, repeats requests with pauses, and explains why a
// server could not be reached in errors whose codes begin with ENDPOINT_.
//
// It is made of net/http alone and knows no cloud. A service names its own
// configuration keys in [Settings], so that a fix can say "correct s3Url" instead
// of "correct the address".
package endpoint
