// Passkeys: what a form cannot do by itself. The options stand in the form, the answer goes into it.
"use strict";
{
  const octets = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const named = (list) => (list || []).map((each) => ({ ...each, id: octets(each.id) }));

  const create = async (options) => {
    const made = await navigator.credentials.create({
      publicKey: {
        ...options,
        challenge: octets(options.challenge),
        user: { ...options.user, id: octets(options.user.id) },
        excludeCredentials: named(options.excludeCredentials),
      },
    });
    return answer(made, {
      attestationObject: text(made.response.attestationObject),
      transports: made.response.getTransports ? made.response.getTransports() : [],
    });
  };
  const get = async (options) => {
    const found = await navigator.credentials.get({
      publicKey: { ...options, challenge: octets(options.challenge), allowCredentials: named(options.allowCredentials) },
    });
    const handle = found.response.userHandle;
    return answer(found, {
      authenticatorData: text(found.response.authenticatorData),
      signature: text(found.response.signature),
      ...(handle ? { userHandle: text(handle) } : {}),
    });
  };
  const answer = (credential, response) =>
    JSON.stringify({
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      response: { clientDataJSON: text(credential.response.clientDataJSON), ...response },
      clientExtensionResults: {},
    });

  const trouble = (said) => {
    const place = document.getElementById("trouble");
    place.textContent = said;
    place.hidden = false;
  };
  const words = {
    InvalidStateError: "This device has a passkey of yours already.",
    NotAllowedError: "No passkey was used: it was cancelled, or it took too long.",
    SecurityError: "The browser uses no passkeys at this address.",
  };

  const said = document.querySelector(".said"); // what a form came to is read out first
  if (said) said.focus();

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = form.querySelector("button");
      button.disabled = true;
      try {
        if (!window.PublicKeyCredential) throw new Error("This browser knows no passkeys.");
        const options = JSON.parse(form.dataset.options);
        form.elements.answer.value = await (form.dataset.passkey === "create" ? create : get)(options);
        form.submit();
      } catch (error) {
        trouble(words[error.name] || error.message);
        button.disabled = false;
      }
    });
  }
}
