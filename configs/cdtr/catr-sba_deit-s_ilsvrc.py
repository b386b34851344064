# CATR with CDTR's SBA (Table X) on ILSVRC2012: the settings of CATR, alpha and normalization of CDTR. No code is
# published; the mask is the map of the label as CATR makes it.
_base_ = ['../catr/catr_deit-s_ilsvrc.py']
model = dict(
    head=dict(
        map_losses=dict(loss_sba=dict(
            type='mmwsol.SemanticBoostLoss',
            text_embeddings='data/clip/ilsvrc_vit-b-32.pt',
            map_norm='minmax',
            loss_weight=0.01))))
