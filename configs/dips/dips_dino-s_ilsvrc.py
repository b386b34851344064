# DiPS (Murtaza et al., IVC 2023), DINO ViT-S/16 at 224 on ILSVRC2012. Epoch and threshold are chosen on ImageNetV2. The
# classifier is DINO's own; another one, torchvision's first ResNet-50, ranks the proposals. Learning rate and sampler
# are the only published setting, found for the conference model (a U-Net) on a tenth of the images.
_base_ = [
    './_base_/dino-s.py',
    './_base_/schedule.py',
    '../_base_/datasets/imagenetv2.py',
    '../_base_/pipelines/squash_224.py',
]
dino = 'https://dl.fbaipublicfiles.com/dino/dino_deitsmall16_pretrain/dino_deitsmall16_'
model = dict(
    head=dict(
        num_classes=1000,
        fc_weights=dino + 'linearweights.pth',
        sampler=dict(num_fg=5139, num_bg=2399, fg_fraction=0.93814, bg_fraction=0.90594),
        loss_seed=dict(loss_weight=0.38399)))
decoder_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(256, 256)),
    dict(type='mmwsol.RandomCrop', crop_size=224),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.LoadProposals', cache_dir='stage://proposals/cache', top_k=2),
    dict(type='mmwsol.PackLocInputs', algorithm_keys=['proposal_mask', 'proposal_map', 'raw_img']),
]
train_dataloader = dict(batch_size={{_base_.total_batch_size}}, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
val_evaluator = test_evaluator = {{_base_.evaluator}}
optim_wrapper = dict(optimizer=dict(lr=0.0465413))
stages = [
    dict(
        name='proposals',
        train_dataloader=dict(dataset=dict(pipeline={{_base_.test_pipeline}})),
        train_cfg=dict(_delete_=True, type='mmwsol.OfflineLoop', writer=dict(
            type='mmwsol.ProposalWriter', min_area=0.75, blur_kernel=115, blur_sigma=100.5,
            scorer=dict(type='mmpretrain.TimmClassifier', model_name='resnet50.tv_in1k', pretrained=True)))),
    dict(
        name='decoder',
        init_from='none',  # the stage before trains nothing
        model=dict(head=dict(train_part='decoder')),
        train_dataloader=dict(dataset=dict(pipeline=decoder_pipeline)),
        train_cfg=dict(max_epochs=10)),
]
