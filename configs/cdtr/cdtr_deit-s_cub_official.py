# CDTR on CUB-200-2011 as the released code computes it: 4 GPUs with 128 images each, on which the first loss of OCM
# depends.
_base_ = ['./cdtr_deit-s_cub.py']
model = dict(
    head=dict(
        loss_ocm_s=dict(reduce='batch_sum', loss_weight=1.0),
        loss_ocm_a=dict(pairs='all'),
        map_losses=dict(loss_sba=dict(prompt_index='position'))))
