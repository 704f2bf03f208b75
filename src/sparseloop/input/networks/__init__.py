"""Neural networks from other formats: every product of a network becomes one layer in the same ranks.

    O[n,g,m,p,q] = I[n,g,c,S*p+D*r,S*q+D*s] * W[g,m,c,r,s]

`layers` has this einsum and the records, `zoo` networks of the literature, `huggingface` and `transformer` read `config.json`.
Each gives a `NeuralNetwork`, whose `to_data` is the `layers:` of the native format.
"""
